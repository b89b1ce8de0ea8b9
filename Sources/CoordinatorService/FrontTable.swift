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
        let table = TableFormat.aligned([header] + rows, numeric: Array(repeating: true, count: header.count))
        return String(table.dropLast())
    }

    /// The rows of the view `pareto_front` as JSON.
    ///
    /// - Throws: `EncodingError`.
    public static func json(_ front: [FrontRecord]) throws -> String {
        struct Row: Encodable {
            let candidate_id: Int64
            let generation: Int
            let speedup, latency_ratio: Double?
            let macs: Int64?
            let quality: Double
            let images: Int
        }
        let rows = front.map {
            Row(
                candidate_id: $0.candidateID, generation: $0.generation, speedup: $0.speedup,
                latency_ratio: $0.latencyRatio, macs: $0.macs, quality: $0.quality, images: $0.images)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(rows), as: UTF8.self)
    }
}
