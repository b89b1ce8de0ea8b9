import ArgumentParser
import Basics
import Foundation
import ModelConfiguration
import Models
import ProgramSupport
import Tensors

struct BenchDecode: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode",
        abstract: "Measure the time of the latent decoder, by layer.",
        discussion: """
            Decodes random latents. GFLOP/s are those of the plain method: a convolution with fewer multiplications exceeds \
            the processor's rate.
            """)

    @Option(help: "Model directory in the diffusers layout; only vae/ is read.")
    var model: String

    @Option(help: "Height and width of the image in pixels.")
    var size = 256

    @OptionGroup var precision: PrecisionOption

    @Option(help: "Number of CPU threads.")
    var threads = 1

    @Option(help: "Number of measured images, after one that is not measured.")
    var runs = 5

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try requireOption("--size", size, in: 8...8192)
        try requireOption("--threads", threads, in: 1...1024)
        try requireOption("--runs", runs, in: 1...1000)
    }

    private struct Row: Encodable {
        let layer: String
        let width, inputs, outputs, count: Int
        let seconds, gflop: Double
    }

    private struct Report: Encodable {
        let precision, processor: String
        let size, threads: Int
        let seconds: [Double]
        let medianSeconds, gflop: Double
        let layers: [Row]
    }

    func run() throws {
        BLAS.setThreadCount(threads)
        let precision = precision.resolved
        try precision.requireSupported()
        let decoder = try AutoencoderDecoder(folder: "\(model)/vae", precision: precision)
        let scale = decoder.settings.scale
        guard size % scale == 0 else {
            throw ModelsError.invalidArgument("--size is \(size); expected a multiple of \(scale)")
        }
        let side = size / scale
        var random = SplitMix64(seed: 1)
        let values = (0..<(decoder.settings.latentChannels * side * side)).map { _ in
            Float.random(in: -2...2, using: &random)
        }
        let latents = FeatureMap(
            Matrix(values, rows: decoder.settings.latentChannels, columns: side * side), height: side, width: side)
        _ = decoder.decode(latents)
        var times: [AutoencoderDecoder.LayerTime] = []
        let seconds = (0..<runs).map { _ in ComputeClock.seconds { _ = decoder.decode(latents) } }.sorted()
        decoder.onLayer = { times.append($0) }
        _ = decoder.decode(latents)
        let report = Report(
            precision: "\(precision)", processor: "\(CPU.modelName), \(CPU.features)", size: size, threads: threads,
            seconds: seconds, medianSeconds: seconds[seconds.count / 2],
            gflop: times.reduce(0) { $0 + Double($1.flops) } / 1e9, layers: Self.rows(times))
        try print(report)
    }

    /// Layers of the same kind and shape together, in the order of the first.
    private static func rows(_ times: [AutoencoderDecoder.LayerTime]) -> [Row] {
        var order: [String] = []
        var groups: [String: [AutoencoderDecoder.LayerTime]] = [:]
        for time in times {
            let key = "\(time.kind) \(time.width) \(time.channels)"
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(time)
        }
        return order.compactMap { groups[$0] }.map { group in
            Row(
                layer: group[0].kind.rawValue, width: group[0].width, inputs: group[0].channels.inputs,
                outputs: group[0].channels.outputs, count: group.count,
                seconds: group.reduce(0) { $0 + $1.seconds },
                gflop: group.reduce(0) { $0 + Double($1.flops) } / 1e9)
        }
    }

    private func print(_ report: Report) throws {
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            encoder.keyEncodingStrategy = .convertToSnakeCase
            Swift.print(String(decoding: try encoder.encode(report), as: UTF8.self))
            return
        }
        let total = report.layers.reduce(0) { $0 + $1.seconds }
        Swift.print(
            String(
                format: "decode %dx%d, %@, threads %d: median %.1f ms of %d, %.0f GFLOP/s", size, size,
                report.precision, threads, report.medianSeconds * 1e3, runs, report.gflop / report.medianSeconds))
        for row in report.layers {
            let name = "\(row.count) \(row.layer) \(row.inputs) -> \(row.outputs) at \(row.width)"
                .padding(toLength: 40, withPad: " ", startingAt: 0)
            Swift.print(
                String(
                    format: "%@ %9.2f ms %5.1f %% %7.0f GFLOP/s", name, row.seconds * 1e3, 100 * row.seconds / total,
                    row.gflop / row.seconds))
        }
    }
}
