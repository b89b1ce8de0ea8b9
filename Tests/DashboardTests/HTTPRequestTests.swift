import Basics
import Foundation
import TestSupport
import Testing

@testable import Dashboard

@Suite struct HTTPRequestTests {
    private func request(_ lines: String...) throws -> HTTPRequest {
        try HTTPRequest(head: lines.joined(separator: "\r\n").utf8)
    }

    @Test func pathQueryAndHeadersAreDecoded() throws {
        let found = try request("GET /api/0/points?after=12&x=a%20b HTTP/1.1", "Host: here", "COOKIE: a=1; b=2")
        #expect(found.path == "/api/0/points")
        #expect(found.query == ["after": "12", "x": "a b"])
        #expect(found.headers["host"] == "here")
        #expect(found.cookies == ["a": "1", "b": "2"])
        #expect(found.keepsAlive)
        #expect(try !request("GET / HTTP/1.1", "Connection: close").keepsAlive)
        #expect(try !request("GET / HTTP/1.0").keepsAlive)
    }

    @Test(arguments: [
        "", "GET", "GET /", "GET / HTTP/2", "GET http://elsewhere/ HTTP/1.1", "GET /%zz HTTP/1.1", "GET  / HTTP/1.1",
        "GET / HTTP/1.1\r\nno colon", "GET / HTTP/1.1\r\n: empty", "GET /?%ff HTTP/1.1", "\u{0}",
    ])
    func malformedHeadsAreRejected(head: String) {
        #expect(throws: HTTPError.self) { try HTTPRequest(head: head.utf8) }
    }

    @Test(arguments: ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: -1"])
    func bodiesAreRejected(header: String) {
        #expect(throws: HTTPError.self) { try request("POST /session HTTP/1.1", header) }
    }

    @Test func listenAddressesAreNumeric() throws {
        #expect(try ListenAddress("127.0.0.1:8080").isLoopback)
        #expect(try ListenAddress("localhost:0").isLoopback)
        #expect(try ListenAddress("[::1]:1").isLoopback)
        #expect(try !ListenAddress("0.0.0.0:80").isLoopback)
        #expect(try !ListenAddress("[::]:80").isLoopback)
        for text in ["", "8080", "127.0.0.1", "127.0.0.1:70000", "::1:80", "host.example:80", "[::1:80"] {
            #expect(throws: DashboardError.invalidAddress(text)) { try ListenAddress(text) }
        }
    }

    @Test func otherAddressesNeedAToken() throws {
        let address = try ListenAddress("0.0.0.0:8080")
        #expect(throws: DashboardError.self) { try AccessPolicy(address: address, tokenFile: nil) }
        let folder = try TemporaryFolder()
        let path = folder.path + "/token"
        try FileContents.write([Array("0123456789abcdef\n".utf8)], to: path, mode: 0o644)
        #expect(throws: DashboardError.self) { try AccessPolicy(address: address, tokenFile: path) }
        try FileContents.write([Array("short\n".utf8)], to: path, mode: 0o600)
        #expect(throws: DashboardError.self) { try AccessPolicy(address: address, tokenFile: path) }
        try FileContents.write([Array("0123456789abcdef\n".utf8)], to: path, mode: 0o600)
        let policy = try AccessPolicy(address: address, tokenFile: path)
        #expect(try !policy.allows(request("GET / HTTP/1.1")))
        #expect(try !policy.allows(request("GET /?token=0123456789abcdef HTTP/1.1")))
        #expect(try !policy.allows(request("GET / HTTP/1.1", "Authorization: Bearer 0123456789abcdee")))
        #expect(try policy.allows(request("GET / HTTP/1.1", "Authorization: Bearer 0123456789abcdef")))
        #expect(policy.signIn(try request("POST /session HTTP/1.1", "Authorization: Bearer x")).status == .unauthorized)
        let answer = policy.signIn(try request("POST /session HTTP/1.1", "Authorization: Bearer 0123456789abcdef"))
        let cookie = try #require(answer.headers.first?.value)
        #expect(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains("0123456789abcdef"))
        let session = String(cookie.prefix { $0 != ";" })
        #expect(try policy.allows(request("GET / HTTP/1.1", "Cookie: \(session)")))
        #expect(try !policy.allows(request("GET / HTTP/1.1", "Cookie: \(session.dropLast())")))
    }

    @Test func loopbackRejectsForeignHostNames() throws {
        let policy = try AccessPolicy(address: try ListenAddress("127.0.0.1:8080"), tokenFile: nil)
        #expect(try policy.acceptsHost(of: request("GET / HTTP/1.1", "Host: 127.0.0.1:8080")))
        #expect(try policy.acceptsHost(of: request("GET / HTTP/1.1", "Host: localhost")))
        #expect(try !policy.acceptsHost(of: request("GET / HTTP/1.1", "Host: evil.example:8080")))
    }
}
