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

    @Test(arguments: [
        ("tcp://198.51.100.1:*", "198.51.100.1 is not an address of this machine"),
        ("tcp://no-such-interface.invalid:5555", "is not an interface of this machine, and cannot be resolved"),
        ("tcp://[fe80::1]:*", "a link-local address needs its interface"),
    ])
    func foreignAddressIsReported(endpoint: String, detail: String) throws {
        let error = #expect(throws: TransportError.self) {
            _ = try TestSockets.coordinator(at: endpoint, in: SocketContext())
        }
        guard case .addressNotLocal(endpoint, _) = error else {
            Issue.record("expected a foreign address, found \(String(describing: error))")
            return
        }
        #expect("\(error!)".contains(detail) && "\(error!)".contains("use 0.0.0.0"), "\(error!)")
    }

    /// Names, interfaces and IPv6 addresses, which libzmq does not all resolve itself.
    @Test(arguments: [
        ("tcp://localhost:*", "127.0.0.1"), ("tcp://lo:*", "127.0.0.1"), ("tcp://127.0.0.1:*", "127.0.0.1"),
        ("tcp://[::1]:*", "::1"), ("tcp://*:*", "0.0.0.0"), ("tcp://[::]:*", "::"),
    ])
    func addressToListenOnIsResolved(text: String, host: String) throws {
        let context = try SocketContext()
        var coordinator = try TestSockets.coordinator(at: text, in: context)
        let endpoint = coordinator.endpoint
        #expect(endpoint.host == host && endpoint.port != 0)
        #expect(endpoint.isLoopback == !["0.0.0.0", "::"].contains(host))
        #expect(endpoint.fromOtherMachines.isEmpty || !endpoint.isLoopback)
        let worker = try TestSockets.worker(to: endpoint.fromThisMachine, in: context)
        #expect(try worker.sendWhenConnected([1]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [1])
    }

    @Test func endpointsForOtherMachinesHaveAddressesThatTheyCanUse() throws {
        for text in ["tcp://0.0.0.0:5", "tcp://[::]:5"] {
            for endpoint in try Endpoint(text).fromOtherMachines {
                let address = try #require(HostAddress(numeric: endpoint.host))
                #expect(!address.isWildcard && !address.isLoopback && !address.isLinkLocal && endpoint.port == 5)
                #expect(HostAddress.ofThisMachine().contains { $0.address == address })
            }
        }
        #expect(try Endpoint("tcp://192.0.2.7:5").fromOtherMachines.map(\.description) == ["tcp://192.0.2.7:5"])
    }

    @Test(arguments: [
        ("127.0.0.1", true, false), ("127.9.9.9", true, false), ("::1", true, false), ("::ffff:127.0.0.1", true, false),
        ("10.0.0.1", false, false), ("::", false, true), ("0.0.0.0", false, true), ("fe80::1", false, false),
    ])
    func addressesAreClassified(text: String, isLoopback: Bool, isWildcard: Bool) throws {
        let address = try #require(HostAddress(numeric: text))
        #expect(address.isLoopback == isLoopback && address.isWildcard == isWildcard)
        #expect(address.isLinkLocal == text.hasPrefix("fe80"))
        #expect(address.isIPv6 == text.contains(":"))
    }

    @Test func onlyHostsOfThisMachineAreOnLoopback() throws {
        #expect(HostAddress(numeric: "localhost") == nil)
        #expect(try Endpoint("tcp://localhost:5").onLoopback()?.description == "tcp://127.0.0.1:5")
        for text in ["tcp://192.0.2.7:5", "tcp://0.0.0.0:5", "tcp://no-such-host.invalid:5"] {
            #expect(try Endpoint(text).onLoopback() == nil)
        }
    }

    @Test func unresolvableHostIsAStateOfTheConnection() throws {
        let endpoint = try Endpoint("tcp://no-such-host.invalid:5555")
        var worker = try TestSockets.worker(to: endpoint, in: SocketContext())
        for _ in 0..<3 {
            worker.processEvents()
            guard case .unresolved = worker.connectionState else {
                Issue.record("expected an unresolved name, found \(worker.connectionState)")
                return
            }
            #expect(!worker.needsReplacement && worker.connectionState.problem?.contains("cannot be resolved") == true)
            usleep(50_000)
        }
    }

    @Test(arguments: ["tcp://127.0.0.1:*", "tcp://*:5555", "tcp://0.0.0.0:5555", "tcp://[::]:5555"])
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

    /// libzmq tries only the first address of a name.
    @Test func socketsTryTheAddressesOfANameInTurn() throws {
        let endpoint = try Endpoint("tcp://head:5555")
        let addresses = try ["192.0.2.7", "fd00::7"].map { try #require(HostAddress(numeric: $0)) }
        let targets = (0..<3).map { WorkerSocket.target(of: endpoint, addresses, attempt: $0) }
        #expect(
            targets.map(\.endpoint.description) == [
                "tcp://192.0.2.7:5555", "tcp://[fd00::7]:5555", "tcp://192.0.2.7:5555",
            ])
        #expect(targets.map(\.isIPv6) == [false, true, false])
        // The name of a single address is resolved again at every attempt.
        #expect(WorkerSocket.target(of: endpoint, [addresses[1]], attempt: 1).endpoint == endpoint)
    }
}
