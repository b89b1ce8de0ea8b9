import Foundation
import TestSupport
import Testing

/// `ecad bench decode`.
@Suite struct BenchDecodeTests {
    private struct Report: Decodable {
        struct Layer: Decodable {
            let layer: String
            let width, inputs, outputs, count: Int
            let seconds, gflop: Double
        }
        let precision: String
        let size, threads: Int
        let seconds: [Double]
        let medianSeconds, gflop: Double
        let layers: [Layer]
    }

    private func bench(_ arguments: [String]) throws -> ProgramRun {
        try ProgramRun("ecad", ["bench", "decode", "--model", Fixtures.bundledModel] + arguments)
    }

    @Test func layersAreReported() throws {
        let run = try bench(["--size", "64", "--runs", "3", "--json"])
        #expect(run.wait() == 0, "\(run.errors)")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let report = try decoder.decode(Report.self, from: Data(run.output.utf8))
        #expect(report.precision == "float32" && report.size == 64 && report.threads == 1)
        #expect(report.seconds.count == 3 && report.seconds.allSatisfy { $0 > 0 })
        #expect(report.medianSeconds == report.seconds[1])
        #expect(Set(report.layers.map(\.layer)) == ["convolution", "upsampling", "pointwise", "attention"])
        #expect(report.layers.filter { $0.layer == "upsampling" }.map(\.width) == [16, 32, 64])
        #expect(abs(report.layers.reduce(0) { $0 + $1.gflop } - report.gflop) < 1e-9)
    }

    @Test func sizeMustFitTheDecoder() throws {
        let run = try bench(["--size", "60"])
        #expect(run.wait() == 1)
        #expect(run.errors.contains("--size is 60; expected a multiple of 8"))
    }
}
