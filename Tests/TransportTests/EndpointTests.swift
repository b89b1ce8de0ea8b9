import Glibc
import Testing

@testable import Transport

@Suite struct EndpointTests {
    @Test(arguments: [
        ("tcp://192.0.2.7:5555", "192.0.2.7", UInt16(5555)),
        ("tcp://*:*", "*", 0),
        ("tcp://127.0.0.1:0", "127.0.0.1", 0),
        ("tcp://node-17.cluster:65535", "node-17.cluster", 65535),
        ("tcp://[fe80::1]:80", "fe80::1", 80),
    ])
    func validEndpointsAreParsed(text: String, host: String, port: UInt16) throws {
        let endpoint = try Endpoint(text)
        #expect(endpoint.host == host)
        #expect(endpoint.port == port)
        #expect(try Endpoint(endpoint.description) == endpoint)
    }

    @Test(arguments: [
        "", "5555", "host:5555", "tcp:/host:5555", "udp://host:5555", "tcp://host", "tcp://host:", "tcp://:5555",
        "tcp://host:70000", "tcp://host:-1", "tcp://host:+5", "tcp://host:5555/path", "tcp://ho st:5555",
        "tcp://a;b:5555", "tcp://::1:5555", "tcp://[::1]", "tcp://host:٣", "tcp://hóst:1",
    ])
    func invalidEndpointsAreRejectedWithTheirText(text: String) {
        let error = #expect(throws: TransportError.self) { try Endpoint(text) }
        guard case .endpointSyntax(text, _) = error else {
            Issue.record("expected a syntax error, found \(String(describing: error))")
            return
        }
        #expect("\(error!)".contains("\"\(text)\""))
    }

    @Test(arguments: [
        ("tcp://*:5", "tcp://127.0.0.1:5"), ("tcp://0.0.0.0:5", "tcp://127.0.0.1:5"), ("tcp://[::]:5", "tcp://[::1]:5"),
        ("tcp://10.0.0.1:5", "tcp://10.0.0.1:5"),
    ])
    func wildcardListenerIsReachableOverLoopback(listening: String, reached: String) throws {
        #expect(try Endpoint(listening).fromThisMachine.description == reached)
    }

    @Test func boundEndpointContainsTheActualPort() throws {
        let coordinator = try TestSockets.coordinator(at: "tcp://0.0.0.0:*", in: SocketContext())
        #expect(coordinator.endpoint.host == "0.0.0.0")
        #expect(coordinator.endpoint.port != 0)
    }

    @Test func hostNamesAreResolved() throws {
        let context = try SocketContext()
        var coordinator = try TestSockets.coordinator(in: context)
        let endpoint = try Endpoint("tcp://localhost:\(coordinator.endpoint.port)")
        let worker = try TestSockets.worker(to: endpoint, in: context)
        #expect(try worker.sendWhenConnected([1]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [1])
    }

    @Test func portInUseIsReported() throws {
        let context = try SocketContext()
        let first = try TestSockets.coordinator(in: context)
        let endpoint = first.endpoint.description
        let error = #expect(throws: TransportError.self) { _ = try TestSockets.coordinator(at: endpoint, in: context) }
        #expect(error == .addressInUse(endpoint: endpoint))
        #expect("\(error!)".contains("\(endpoint): the port is in use"))
    }

    @Test(arguments: ["tcp://192.0.2.1:*", "tcp://no-such-interface:5555"])
    func foreignAddressIsReported(endpoint: String) throws {
        #expect(throws: TransportError.addressNotLocal(endpoint: endpoint)) {
            _ = try TestSockets.coordinator(at: endpoint, in: SocketContext())
        }
    }

    @Test func unresolvableHostIsReported() throws {
        let endpoint = "tcp://no-such-host.invalid:5555"
        let error = #expect(throws: TransportError.self) {
            _ = try TestSockets.worker(to: Endpoint(endpoint), in: SocketContext())
        }
        guard case .hostNotFound("no-such-host.invalid", endpoint, _) = error else {
            Issue.record("expected an unknown host, found \(String(describing: error))")
            return
        }
    }

    @Test(arguments: ["tcp://127.0.0.1:*", "tcp://*:5555"])
    func workerRejectsWildcardEndpoint(endpoint: String) throws {
        let error = #expect(throws: TransportError.self) {
            _ = try TestSockets.worker(to: Endpoint(endpoint), in: SocketContext())
        }
        guard case .endpointSyntax(endpoint, _) = error else {
            Issue.record("expected a syntax error, found \(String(describing: error))")
            return
        }
    }

    @Test func privilegedPortIsReported() throws {
        // The tests may run as root, so the error number is passed directly.
        let endpoint = try Endpoint("tcp://0.0.0.0:80")
        #expect(TransportError.bind(EACCES, endpoint) == .permissionDenied(endpoint: "tcp://0.0.0.0:80"))
    }
}
