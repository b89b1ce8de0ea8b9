import Basics
import Foundation
import Glibc

/// Who may read: everyone on this machine if the address is a loopback address, else those who give the token.
///
/// The token arrives in the header `Authorization: Bearer TOKEN`, or as a cookie that the sign-in page requests with that
/// header. It is never part of an address, which browsers and proxies log.
public struct AccessPolicy: Sendable {
    private static let cookieName = "ecad-session"
    private static let minimumBytes = 16

    /// SHA-256 of the token; nil if none is needed.
    private let tokenDigest: [UInt8]?
    private let isLoopback: Bool

    /// - Parameters:
    ///   - address: The address to listen on.
    ///   - tokenFile: A file with the token in its first line; nil for none.
    /// - Throws: ``DashboardError`` for an address that others can reach without a token, and for a token that is short
    ///   or that others can read.
    public init(address: ListenAddress, tokenFile: String?) throws {
        isLoopback = address.isLoopback
        guard let tokenFile else {
            guard isLoopback else { throw DashboardError.tokenRequired(address: "\(address)") }
            tokenDigest = nil
            return
        }
        tokenDigest = SHA256.digest(try Self.readToken(tokenFile))
    }

    private static func readToken(_ path: String) throws -> [UInt8] {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw DashboardError.tokenFile(path: path, reason: String(cString: strerror(errno)))
        }
        guard status.st_mode & 0o077 == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw DashboardError.tokenFile(path: path, reason: "mode is \(mode); expected 600: chmod 600 it")
        }
        let token = try FileContents.read(path).prefix { $0 != UInt8(ascii: "\n") && $0 != UInt8(ascii: "\r") }
        guard token.count >= minimumBytes, token.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw DashboardError.tokenFile(
                path: path,
                reason:
                    "expected a first line of at least \(minimumBytes) printable characters without spaces, as from "
                    + "openssl rand -hex 16")
        }
        return Array(token)
    }

    /// Whether a request may read data.
    func allows(_ request: HTTPRequest) -> Bool {
        guard let tokenDigest else { return true }
        if let token = Self.bearer(request) { return Self.equal(SHA256.digest(token.utf8), tokenDigest) }
        guard let cookie = request.cookies[Self.cookieName] else { return false }
        return Self.equal(Array(cookie.utf8), Array(Self.session(tokenDigest).utf8))
    }

    /// Whether the request names this server.
    ///
    /// Without a token, a page of another site could have its name resolve to this machine and read the data (DNS
    /// rebinding); its requests carry that name.
    func acceptsHost(of request: HTTPRequest) -> Bool {
        guard isLoopback, tokenDigest == nil else { return true }
        guard var host = request.headers["host"] else { return true }
        if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") { host = String(host[..<colon]) }
        return host == "localhost" || host == "[::1]" || host.hasPrefix("127.")
    }

    /// The answer to the sign-in request: a cookie if its token is right.
    func signIn(_ request: HTTPRequest) -> HTTPResponse {
        guard let tokenDigest else { return HTTPResponse(.ok) }
        guard let token = Self.bearer(request), Self.equal(SHA256.digest(token.utf8), tokenDigest) else {
            return HTTPResponse(.unauthorized)
        }
        var response = HTTPResponse(.ok)
        response.headers.append(
            (
                "Set-Cookie",
                "\(Self.cookieName)=\(Self.session(tokenDigest)); Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
            ))
        return response
    }

    private static func bearer(_ request: HTTPRequest) -> String? {
        guard let value = request.headers["authorization"], value.hasPrefix("Bearer ") else { return nil }
        return String(value.dropFirst("Bearer ".count))
    }

    /// The cookie's value, from which the token cannot be recovered.
    private static func session(_ digest: [UInt8]) -> String {
        SHA256.digest(Array("ecad dashboard session".utf8) + digest).hexadecimal
    }

    /// Compares in a time that does not depend on where the values differ.
    private static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        var difference = left.count ^ right.count
        for (index, byte) in right.enumerated() { difference |= Int(byte ^ (index < left.count ? left[index] : 0)) }
        return difference == 0
    }
}
