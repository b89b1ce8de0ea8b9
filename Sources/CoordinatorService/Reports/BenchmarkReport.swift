import Basics
import Foundation
import History
import Schedules

/// What a benchmark found, for people and for scripts.
public struct BenchmarkReport: Sendable {
    /// How well the front keeps the order of its quality.
    public struct Order: Sendable, Encodable {
        /// The members of the front that were compared.
        public let schedules: Int
        /// Spearman's coefficient of the quality on the calibration set and on this one.
        public let spearman: Double
    }

    /// The prompt set's name in the history.
    public let promptSet: String
    /// Prompts times seeds.
    public let images: Int
    /// The schedules, slow to fast.
    public let records: [BenchmarkRecord]
    /// The scorer that the run's quality is.
    public let quality: String
    /// Whether the front kept its order; nil without a front of two members.
    public let order: Order?

    init(_ benchmark: Benchmark) throws {
        promptSet = benchmark.evaluationSet
        images = benchmark.images.count
        let quality = benchmark.configuration.quality.rawValue
        self.quality = quality
        let found = try benchmark.records()
        records = found.enumerated().sorted { a, b in
            let (x, y) = (a.element.latencyRatio ?? 0, b.element.latencyRatio ?? 0)
            return x == y ? a.offset < b.offset : x > y
        }.map(\.element)
        let qualities = Dictionary(
            uniqueKeysWithValues: zip(benchmark.candidateIDs, benchmark.plan.entries.map(\.calibrationQuality)))
        let pairs = found.compactMap { record -> (Double, Double)? in
            guard let before = qualities[record.candidateID] ?? nil,
                let after = record.scores.first(where: { $0.scorer == quality })?.mean
            else { return nil }
            return (before, after)
        }
        order = RankCorrelation.spearman(pairs.map(\.0), pairs.map(\.1)).map {
            Order(schedules: pairs.count, spearman: $0)
        }
    }

    /// One table for each scorer, the run's quality first.
    public var text: String {
        let scorers = Set(records.flatMap { $0.scores.map(\.scorer) }).sorted {
            ($0 == quality ? 0 : 1, $0) < ($1 == quality ? 0 : 1, $1)
        }
        var parts = scorers.map(table)
        for record in records where record.latencyRatio == nil {
            parts.append("\(record.label): not all images could be made; see the table events of the history\n")
        }
        if let order {
            let coefficient = String(format: "%.3f", order.spearman)
            parts.append(
                "\(order.schedules) schedules of the front, \(quality) on the calibration set against \(promptSet): "
                    + "Spearman \(coefficient)\n")
        }
        return parts.joined(separator: "\n")
    }

    private func table(_ scorer: String) -> String {
        let header = [
            "schedule", "latency", "speed-up", "GMACs", scorer, "s.e.", "p5", "worst", "images", "worst prompt",
        ]
        let rows = records.compactMap { record -> [String]? in
            guard let score = record.scores.first(where: { $0.scorer == scorer }) else { return nil }
            func number(_ value: Double) -> String { String(format: "%.3f", value) }
            return [
                record.label, record.latencyRatio.map(number) ?? "-",
                record.latencyRatio.map { String(format: "%.2fx", 1 / $0) } ?? "-",
                record.macs.map { String(format: "%.2f", Double($0) / 1e9) } ?? "-",
                number(score.mean), score.standardError.map(number) ?? "-", number(score.p5), number(score.worst),
                "\(score.images)", Self.shortened(score.worstPrompt),
            ]
        }
        let isNumeric = header.indices.map { (1...8).contains($0) }
        let title = "\(promptSet), \(scorer) of \(images) images for each schedule\n"
        return title + alignedTable([header] + rows, isNumeric: isNumeric)
    }

    private static func shortened(_ prompt: String) -> String {
        let line = prompt.split(whereSeparator: \.isNewline).joined(separator: " ")
        return line.count > 60 ? String(line.prefix(57)) + "..." : line
    }

    /// The report as JSON.
    ///
    /// - Throws: `EncodingError`.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(Document(self)), as: UTF8.self)
    }

    private struct Document: Encodable {
        struct Row: Encodable {
            let schedule, origin: String
            let latencyRatio, speedup: Double?
            let macs: Int64?
            let scores: [String: Score]
        }

        struct Score: Encodable {
            let mean: Double
            let standardError: Double?
            let p5, worst: Double
            let worstPrompt: String
            let images: Int
        }

        let promptSet, quality: String
        let images: Int
        let schedules: [Row]
        let frontOrder: Order?

        init(_ report: BenchmarkReport) {
            promptSet = report.promptSet
            quality = report.quality
            images = report.images
            frontOrder = report.order
            schedules = report.records.map { record in
                Row(
                    schedule: record.label, origin: record.origin, latencyRatio: record.latencyRatio,
                    speedup: record.latencyRatio.map { 1 / $0 }, macs: record.macs,
                    scores: Dictionary(
                        uniqueKeysWithValues: record.scores.map {
                            (
                                $0.scorer,
                                Score(
                                    mean: $0.mean, standardError: $0.standardError, p5: $0.p5, worst: $0.worst,
                                    worstPrompt: $0.worstPrompt, images: $0.images)
                            )
                        }))
            }
        }
    }
}
