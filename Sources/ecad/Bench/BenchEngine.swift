import ArgumentParser
import Basics
import Benchmarks
import Diffusion
import Foundation
import ModelConfiguration
import Models
import ProgramSupport
import Schedules
import Tensors

struct BenchEngine: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "engine",
        abstract: "Time a matrix product, an attention or a stage of a model.",
        discussion: """
            product takes --shape ROWSxOUTPUTSxINPUTS, attention --shape IMAGESxHEADSxTOKENSxDIMENSION; forward, denoise, decode \
            and generate take --model and --embeddings and use the first prompt. scripts/bench.sh compares all of them with \
            diffusers.
            """)

    enum PartName: String, ExpressibleByArgument, CaseIterable {
        case product, attention, forward, denoise, decode, generate
    }

    @Option(help: "Part to time: \(PartName.allCases.map(\.rawValue).joined(separator: ", ")).")
    var part: PartName

    @Option(help: "Shape of a product or an attention.")
    var shape: String?

    @Option(help: "Model directory in the diffusers layout.")
    var model: String?

    @Option(help: "Embeddings written by ecad embed.")
    var embeddings: String?

    @Option(help: "Schedule file, JSON or compact (default: uncached).")
    var schedule: String?

    @Option(help: "Number of denoising steps (default: those of the schedule, or \(ModelFamily.defaultStepCount)).")
    var steps: Int?

    @Option(help: guidanceScaleHelp)
    var guidanceScale: Double?

    @Option(help: "Height and width in pixels (default: native size).")
    var size: Int?

    @OptionGroup var precision: PrecisionOption

    @Option(help: "Number of CPU threads.")
    var threads = 1

    @Option(help: "Number of runs, after one to warm up.")
    var repeats = 5

    @Flag(
        help: ArgumentHelp(
            "Run once for every line on standard input and print its seconds, to alternate with another program.",
            discussion: "Without this flag, prints all runs at the end."))
    var eachLine = false

    func validate() throws {
        try requireOption("--threads", threads, in: 1...1024)
        try requireOption("--repeats", repeats, in: 1...10000)
        if let steps { try requireOption("--steps", steps, in: 1...1000) }
        if let size { try requireOption("--size", size, in: 1...16384) }
        if let guidanceScale { try requireOption("--guidance-scale", guidanceScale, in: Guidance.scales) }
        let modelOptions: [(String, Bool)] = [
            ("--model", model != nil), ("--embeddings", embeddings != nil), ("--schedule", schedule != nil),
            ("--steps", steps != nil), ("--guidance-scale", guidanceScale != nil), ("--size", size != nil),
        ]
        switch part {
        case .product, .attention:
            _ = try kernel()
            if let option = modelOptions.first(where: \.1)?.0 {
                throw ValidationError("\(option) has no effect with --part \(part.rawValue)")
            }
        case .forward, .denoise, .decode, .generate:
            if shape != nil { throw ValidationError("--shape has no effect with --part \(part.rawValue)") }
            if let option = modelOptions.prefix(2).first(where: { !$0.1 })?.0 {
                throw ValidationError("--part \(part.rawValue): expected \(option)")
            }
            if part == .forward || part == .decode, schedule != nil || steps != nil {
                throw ValidationError("--schedule and --steps have no effect with --part \(part.rawValue)")
            }
        }
    }

    /// The product or attention with the given shape.
    private func kernel() throws -> EngineBenchmark.Part {
        let count = part == .product ? 3 : 4
        let names = part == .product ? "ROWSxOUTPUTSxINPUTS" : "IMAGESxHEADSxTOKENSxDIMENSION"
        let numbers = (shape ?? "").split(separator: "x", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
        guard numbers.count == count, numbers.allSatisfy({ (1...65536).contains($0) }),
            numbers.reduce(1.0, { $0 * Double($1) }) <= 0x1p44
        else { throw ValidationError("--shape \(shape ?? ""): expected \(names)") }
        return part == .product
            ? .product(rows: numbers[0], outputs: numbers[1], inputs: numbers[2])
            : .attention(images: numbers[0], heads: numbers[1], tokens: numbers[2], dimension: numbers[3])
    }

    private func benchmark() throws -> EngineBenchmark {
        guard let model, let embeddings else { return try EngineBenchmark(kernel(), precision: precision.resolved) }
        let folder = try ModelFolder(path: model)
        let description = try ModelDescription(modelFolder: model, height: size, width: size)
        let schedule = try schedule.map { try ScheduleDocument(path: $0).file(entry: nil, path: $0).schedule }
        let settings = GenerationSettings(
            height: description.height, width: description.width,
            stepCount: steps ?? schedule?.shape.stepCount ?? ModelFamily.defaultStepCount,
            guidanceScale: Float(try Guided(folder, scale: guidanceScale).scale))
        let inputs = EngineBenchmark.ModelInputs(
            folder, embeddings: try EmbeddingsFile.open(embeddings, for: folder), settings: settings, schedule: schedule
        )
        let stage: EngineBenchmark.Part =
            switch part {
            case .forward: .forward
            case .denoise: .denoise
            case .decode: .decode
            default: .generate
            }
        return try EngineBenchmark(stage, of: inputs, precision: precision.resolved)
    }

    private struct Report: Encodable {
        let part, precision, kernels, processor: String
        let threads: Int
        let operations: Double?
        let residentBytes: Int
        let seconds: [Double]
    }

    func run() throws {
        BLAS.setThreadCount(threads)
        let benchmark = try benchmark()
        _ = try benchmark.seconds()
        var seconds: [Double] = []
        if eachLine {
            print(try encoded(benchmark, seconds))
            fflush(nil)
            while readLine() != nil {
                print(try benchmark.seconds())
                fflush(nil)
            }
            return
        }
        for _ in 0..<repeats { seconds.append(try benchmark.seconds()) }
        print(try encoded(benchmark, seconds))
    }

    private func encoded(_ benchmark: EngineBenchmark, _ seconds: [Double]) throws -> String {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let report = Report(
            part: part.rawValue, precision: precision.resolved.rawValue, kernels: CPU.features,
            processor: CPU.modelName,
            threads: threads, operations: benchmark.operations, residentBytes: residentBytes(), seconds: seconds)
        return String(decoding: try encoder.encode(report), as: UTF8.self)
    }
}
