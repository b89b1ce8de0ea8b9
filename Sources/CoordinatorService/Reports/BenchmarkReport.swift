import Basics
import Foundation
import History

/// The results of a benchmark as tables and as JSON.
public struct BenchmarkReport: Sendable {
    /// Rank correlation of the front's quality on the calibration set and on the benchmark's prompts.
    private struct Order: Encodable {
        /// Members of the front compared.
        let schedules: Int
        let spearman: Double
    }

    private let promptSet: String
    /// Per schedule: prompts times seeds.
    private let images: Int
    /// From slow to fast.
    private let records: [BenchmarkRecord]
    /// The scorer of the run's quality objective.
    private let quality: String
    /// What measured the benchmark, and the run's own evaluations.
    private let arithmetic, runArithmetic: Arithmetic
    /// Nil if fewer than two members of the front were measured.
    private let order: Order?

    init(_ benchmark: Benchmark) throws {
        promptSet = benchmark.context.evaluationSet
        images = benchmark.context.images.count
        arithmetic = benchmark.configuration.arithmetic
        runArithmetic = benchmark.runArithmetic
        let measured = try benchmark.records()
        let kind = benchmark.configuration.quality
        let quality = measured.flatMap(\.scores).map(\.scorer).first(where: kind.isNamed) ?? kind.rawValue
        self.quality = quality
        records = measured.enumerated().sorted { a, b in
            let (x, y) = (a.element.latencyRatio ?? 0, b.element.latencyRatio ?? 0)
            return x == y ? a.offset < b.offset : x > y
        }.map(\.element)
        let qualities = Dictionary(
            uniqueKeysWithValues: zip(benchmark.candidateIDs, benchmark.plan.entries.map(\.calibrationQuality)))
        let pairs = measured.compactMap { record -> (Double, Double)? in
            guard let before = qualities[record.candidateID] ?? nil,
                let after = record.scores.first(where: { $0.scorer == quality })?.mean
            else { return nil }
            return (before, after)
        }
        order = RankCorrelation.spearman(pairs.map(\.0), pairs.map(\.1)).map {
            Order(schedules: pairs.count, spearman: $0)
        }
    }

    /// One table per scorer, the run's quality objective first.
    public var text: String {
        let scorers = Set(records.flatMap { $0.scores.map(\.scorer) }).sorted {
            ($0 == quality ? 0 : 1, $0) < ($1 == quality ? 0 : 1, $1)
        }
        var parts = scorers.map(table)
        for record in records where record.latencyRatio == nil {
            parts.append("\(record.label): incomplete: some images failed; see the table events of the history\n")
        }
        if arithmetic != runArithmetic {
            parts.append("measured with \(arithmetic); the run was calibrated with \(runArithmetic)\n")
        }
        if let order {
            let coefficient = String(format: "%.3f", order.spearman)
            parts.append(
                "\(order.schedules) schedules of the front, \(quality) on the calibration set and on \(promptSet): "
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
        let title = "\(promptSet), \(scorer) of \(images) images per schedule, measured with \(arithmetic)\n"
        return title + alignedTable([header] + rows, isNumeric: isNumeric)
    }

    private static func shortened(_ prompt: String) -> String {
        let line = prompt.split(whereSeparator: \.isNewline).joined(separator: " ")
        return line.count > 60 ? String(line.prefix(57)) + "..." : line
    }

    /// A JSON object.
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
        let engine, precision, runEngine, runPrecision: String
        let images: Int
        let schedules: [Row]
        let frontOrder: Order?

        init(_ report: BenchmarkReport) {
            promptSet = report.promptSet
            quality = report.quality
            engine = report.arithmetic.engine.rawValue
            precision = report.arithmetic.precision.rawValue
            runEngine = report.runArithmetic.engine.rawValue
            runPrecision = report.runArithmetic.precision.rawValue
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

/// Rank correlation of two series.
enum RankCorrelation {
    /// Spearman's coefficient: the correlation of the ranks, where tied values share their mean rank.
    ///
    /// - Returns: -1 to 1; nil for fewer than two pairs, or if all values of a series are equal.
    static func spearman(_ a: [Double], _ b: [Double]) -> Double? {
        guard a.count == b.count, a.count > 1 else { return nil }
        let (x, y) = (ranks(a), ranks(b))
        let mean = Double(a.count - 1) / 2
        var product = 0.0
        var squares = (x: 0.0, y: 0.0)
        for (first, second) in zip(x, y) {
            product += (first - mean) * (second - mean)
            squares.x += (first - mean) * (first - mean)
            squares.y += (second - mean) * (second - mean)
        }
        guard squares.x > 0, squares.y > 0 else { return nil }
        return product / (squares.x * squares.y).squareRoot()
    }

    /// 0-based ranks.
    private static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start
            while end + 1 < order.count, values[order[end + 1]] == values[order[start]] { end += 1 }
            for rank in start...end { ranks[order[rank]] = Double(start + end) / 2 }
            start = end + 1
        }
        return ranks
    }
}
