import Basics
import Foundation
import History

/// The front as a person or a script reads it at the end of a run.
public enum FrontTable {
    /// An aligned table, slow and good to fast and coarse.
    public static func text(_ front: [FrontRecord]) -> String {
        let header = ["candidate", "generation", "speed-up", "latency", "GMACs", "quality", "images"]
        let rows = front.map { point in
            [
                "\(point.candidateID)", "\(point.generation)",
                point.speedup.map { String(format: "%.2fx", $0) } ?? "-",
                point.latencyRatio.map { String(format: "%.3f", $0) } ?? "-",
                point.macs.map { String(format: "%.2f", Double($0) / 1e9) } ?? "-",
                String(format: "%.2f", point.quality), "\(point.images)",
            ]
        }
        let table = alignedTable([header] + rows, isNumeric: Array(repeating: true, count: header.count))
        return String(table.dropLast())
    }

    /// The rows of the view `pareto_front` as JSON.
    ///
    /// - Throws: `EncodingError`.
    public static func json(_ front: [FrontRecord]) throws -> String { try encoded(front.map(Row.init)) }

    /// A row of the view `pareto_front` as JSON.
    ///
    /// - Throws: `EncodingError`.
    public static func json(_ member: FrontRecord) throws -> String { try encoded(Row(front: member)) }

    private static func encoded(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    private struct Row: Encodable {
        let front: FrontRecord

        enum CodingKeys: String, CodingKey {
            case candidateID = "candidate_id"
            case generation, speedup
            case latencyRatio = "latency_ratio"
            case measuredRatio = "measured_ratio"
            case macs, quality, images
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(front.candidateID, forKey: .candidateID)
            try container.encode(front.generation, forKey: .generation)
            try container.encode(front.speedup, forKey: .speedup)
            try container.encode(front.latencyRatio, forKey: .latencyRatio)
            try container.encode(front.measuredRatio, forKey: .measuredRatio)
            try container.encode(front.macs, forKey: .macs)
            try container.encode(front.quality, forKey: .quality)
            try container.encode(front.images, forKey: .images)
        }
    }
}
