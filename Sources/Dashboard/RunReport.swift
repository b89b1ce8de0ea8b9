import Basics
import Foundation
import History

/// The dashboard of one run as a single file without a server: the same script, with the answers it would request.
public struct RunReport: Sendable {
    /// Bytes of a report to which images are added; small enough to mail.
    static let sizeLimit = 9_500_000
    /// Evaluated candidates that a report contains at most: the front, and of the others an even sample.
    static let pointLimit = 40_000
    /// Candidates whose details a report contains at most: the front, then benchmarked schedules, seeds and calibrated ones.
    static let candidateLimit = 300

    private let pages: RunPages

    /// Opens the history of a run directory.
    ///
    /// - Throws: `HistoryError`.
    public init(folder: String) throws { pages = try RunPages(folder: folder) }

    /// Writes the report, replacing what the path holds, and closes the history.
    ///
    /// - Throws: `HistoryError`, `FileError`.
    public func write(to path: String) async throws {
        // The last query's thread may hold the history a moment longer than this task needs it: a program that ends
        // meanwhile would leave an open history's log behind.
        defer { pages.close() }
        try FileContents.write(try await html(), to: path)
    }

    func html() async throws -> String {
        var answers: [(path: String, json: String)] = [("runs", "{\"count\":1}")]
        for name in RunPages.names where name != "points" {
            if let json = try await pages.page(name) { answers.append(("0/\(name)", json)) }
        }
        var parts: [String] = []
        var last = "0"
        repeat {
            guard let json = try await pages.page("points", ["after": last, "limit": "\(Self.pointLimit)"]) else {
                break
            }
            parts.append(json)
            guard json.contains("\"more\":true"), let next = Self.number("last", in: json) else { break }
            last = next
        } while true
        answers.append(("0/points", "[\(parts.joined(separator: ","))]"))
        for id in try await pages.notableCandidates(limit: Self.candidateLimit) {
            if let json = try await pages.page("candidate", ["id": "\(id)"]) {
                answers.append(("0/candidate?id=\(id)", json))
            }
        }
        var bytes = answers.reduce(WebApp.script.utf8.count + WebApp.style.utf8.count) { $0 + $1.json.utf8.count }
        for id in try await pages.imageIDs() {
            guard let png = try await pages.image(id) else { continue }
            let source = "\"data:image/png;base64,\(png.base64EncodedString())\""
            guard bytes + source.utf8.count <= Self.sizeLimit else { continue }
            bytes += source.utf8.count
            answers.append(("0/image/\(id)", source))
        }
        // "<" could end the element that contains the data.
        let data = ("{" + answers.map { "\"\($0.path)\":\($0.json)" }.joined(separator: ",\n") + "}")
            .replacingOccurrences(of: "<", with: "\\u003c")
        let policy =
            "default-src 'none'; script-src \(WebApp.policySource(of: WebApp.script)); "
            + "style-src \(WebApp.policySource(of: WebApp.style)); img-src data: blob:; base-uri 'none'; form-action 'none'"
        return WebApp.page
            .replacingOccurrences(
                of: "<link rel=\"stylesheet\" href=\"app.css\">",
                with:
                    "<meta http-equiv=\"Content-Security-Policy\" content=\"\(policy)\">\n<style>\(WebApp.style)</style>"
            )
            .replacingOccurrences(
                of: "<script type=\"module\" src=\"app.js\"></script>",
                with: "<script type=\"application/json\" id=\"report\">\(data)</script>\n"
                    + "<script type=\"module\">\(WebApp.script)</script>")
    }

    private static func number(_ key: String, in json: String) -> String? {
        guard let range = json.range(of: "\"\(key)\":") else { return nil }
        return String(json[range.upperBound...].prefix { $0.isNumber })
    }
}

extension RunPages {
    /// The front, then benchmarked schedules, then those without parents: seeds first, random ones not at all.
    fileprivate func notableCandidates(limit: Int) async throws -> [Int64] {
        try await integers(
            """
            SELECT id FROM (
                SELECT candidate_id AS id, 0 AS rank FROM pareto_front WHERE run_id = ?1
                UNION ALL
                SELECT c.id, CASE WHEN generation IS NULL THEN 1 WHEN origin NOT LIKE 'calibrated%' THEN 2 ELSE 3 END
                FROM candidates c
                WHERE c.run_id = ?1 AND c.parent_a IS NULL AND c.parent_b IS NULL AND c.origin <> 'random'
            ) GROUP BY id ORDER BY min(rank), id LIMIT \(limit)
            """)
    }

    /// The uncached images first, then those of the front, then all others.
    fileprivate func imageIDs() async throws -> [Int64] {
        try await integers(
            """
            SELECT t.id FROM thumbnails t JOIN prompts p ON p.id = t.prompt_id
            LEFT JOIN pareto_front f ON f.candidate_id = t.candidate_id
            WHERE p.run_id = ?1 ORDER BY t.candidate_id IS NOT NULL, f.candidate_id IS NULL, t.id LIMIT 5000
            """)
    }
}
