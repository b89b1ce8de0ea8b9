import ArgumentParser
import Basics
import Diffusion
import Foundation
import ModelConfiguration
import Models
import ProgramSupport
import Prompts
import Schedules
import Tensors

extension EcadCommand {
    struct Generate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Generate images from prompts, optionally with a caching schedule.")

        @Option(help: "Model directory in the diffusers layout.")
        var model: String

        @Option(help: "Prompt.")
        var prompt: String?

        @Option(
            help:
                "Prompt file: one prompt per line, or a published set (ImageReward, PartiPrompts, DrawBench, COCO, MJHQ-30K)."
        )
        var prompts: String?

        @OptionGroup var promptsFormat: PromptsFormatOption

        @Option(help: "Embeddings written by ecad embed, used instead of the text encoders.")
        var embeddings: String?

        @Option(
            help:
                "Negative prompt, for PixArt with a guidance scale above 1 (default: that of the embeddings, or empty)."
        )
        var negativePrompt: String?

        @Option(help: "Schedule file, JSON or compact (default: uncached).")
        var schedule: String?

        @Option(help: "Index of the schedule in a compact file, from 0.")
        var entry: Int?

        @Option(help: "Seed of the initial noise, the same for every prompt.")
        var seed: UInt64 = 0

        @Option(help: "Number of denoising steps (default: those of the schedule, or \(ModelFamily.defaultStepCount)).")
        var steps: Int?

        @Option(help: guidanceScaleHelp)
        var guidanceScale: Double?

        @Option(help: "Height in pixels (default: native size).")
        var height: Int?

        @Option(help: "Width in pixels (default: native size).")
        var width: Int?

        @Flag(
            help: ArgumentHelp(
                "Generate at the nearest training resolution, then resize and crop to the requested size.",
                discussion:
                    "PixArt only, where it is the default of the original pipelines. Allows any height and width."))
        var aspectBins = false

        @OptionGroup var precision: PrecisionOption

        @Option(help: "Number of CPU threads (default: the processors of the affinity mask, within the CPU quota).")
        var threads: Int?

        @Option(
            name: [.customShort("o"), .customLong("output")],
            help: "Output .png file with --prompt, otherwise a directory.")
        var output: String

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            try promptsFormat.require(prompts)
            if prompt != nil, prompts != nil { throw ValidationError("--prompt and --prompts are mutually exclusive") }
            if prompt == nil, prompts == nil, embeddings == nil {
                throw ValidationError("expected --prompt, --prompts or --embeddings")
            }
            if entry != nil, schedule == nil { throw ValidationError("--entry is only allowed with --schedule") }
            if let steps { try requireOption("--steps", steps, in: 1...1000) }
            if let guidanceScale { try requireOption("--guidance-scale", guidanceScale, in: Guidance.scales) }
            for (name, length) in [("height", height), ("width", width)] {
                if let length, !(1...16384).contains(length) {
                    throw ValidationError("--\(name) \(length): expected 1 to 16384 pixels")
                }
            }
            if let threads, !(1...1024).contains(threads) {
                throw ValidationError("--threads \(threads): expected 1 to 1024")
            }
        }

        func run() throws {
            BLAS.setThreadCount(threads ?? CPU.availableCount)
            try checkOutput()
            let folder = try ModelFolder(path: model)
            let guidance = try Guided(folder, scale: guidanceScale, negativePrompt: negativePrompt)
            let embedded = try embeddings.map { try EmbeddingsFile.open($0, for: folder) }
            let texts =
                try prompt.map { [$0] } ?? prompts.map { try promptsFormat.read($0).texts } ?? embedded?.prompts ?? []
            let negative = guidance.negativePrompt ?? embedded?.negativePrompt ?? ""
            let schedule = try schedule.map { try ScheduleDocument(path: $0).file(entry: entry, path: $0).schedule }
            let generator = try TextToImage(
                folder, prompts: texts, negativePrompt: negative,
                source: embedded.map(EmbeddingSource.file) ?? .textEncoders, precision: precision.resolved)
            let size = (height: height ?? generator.nativeSize, width: width ?? generator.nativeSize)
            let bin = aspectBins ? try generator.aspectRatioBin(height: size.height, width: size.width) : size
            let settings = GenerationSettings(
                height: bin.height, width: bin.width,
                stepCount: steps ?? schedule?.shape.stepCount ?? ModelFamily.defaultStepCount,
                guidanceScale: Float(guidance.scale))
            if !isFile { try createFolder() }
            let used = guidance.isNegativePromptUsed ? negative : ""
            var rows: [Row] = []
            for (index, text) in texts.enumerated() {
                let generated = try generator.generate(
                    prompt: index, seed: seed, settings: settings, schedule: schedule, outputSize: size)
                let file = isFile ? output : "\(output)/\(String(format: "%05d", index)).png"
                try generated.image.write(to: file, text: chunks(text, used, settings, guidance))
                let row = Row(
                    file: file, prompt: text, seed: seed, denoiseSeconds: generated.denoiseSeconds,
                    decodeSeconds: generated.decodeSeconds)
                rows.append(row)
                if !json {
                    let seconds = String(
                        format: "denoise %.3f s, decode %.3f s", row.denoiseSeconds, row.decodeSeconds)
                    Program.printText("\(file)  \(seconds)")
                }
            }
            if json { print(try encoded(Report(images: rows, residentBytes: residentBytes()))) }
        }

        /// One prompt makes a file, several make a directory of files.
        private var isFile: Bool { prompt != nil }

        private func checkOutput() throws {
            guard isFile else {
                return try OutputPath.checkDirectory(
                    "--output", output,
                    fileEndings: [".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"])
            }
            try OutputPath.checkFile("--output", output, endings: [".png"])
        }

        private func createFolder() throws {
            do {
                try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
            } catch {
                throw ModelsError.invalidArgument("--output \(output): the directory cannot be created")
            }
        }

        /// The settings that had an effect, for the text chunks of the PNG file.
        private func chunks(
            _ prompt: String, _ negativePrompt: String, _ settings: GenerationSettings, _ guidance: Guided
        ) -> [(String, String)] {
            [
                ("Software", "ecad \(Program.version)"), ("prompt", prompt), ("negative prompt", negativePrompt),
                ("model", model), ("schedule", schedule ?? ""), ("schedule entry", entry.map(String.init) ?? ""),
                ("seed", "\(seed)"), ("steps", "\(settings.stepCount)"),
                ("height", "\(settings.height)"), ("width", "\(settings.width)"),
                ("guidance scale", guidance.isScaleUsed ? "\(settings.guidanceScale)" : ""),
                ("precision", "\(precision.resolved)"),
            ].filter { !$0.1.isEmpty }
        }

        private struct Row: Encodable {
            let file, prompt: String
            let seed: UInt64
            let denoiseSeconds, decodeSeconds: Double
        }

        private struct Report: Encodable {
            let images: [Row]
            let residentBytes: Int
        }

        private func encoded(_ report: Report) throws -> String {
            let encoder = JSONEncoder()
            encoder.keyEncodingStrategy = .convertToSnakeCase
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(report), as: UTF8.self)
        }
    }
}

/// Resident set size of the process.
func residentBytes() -> Int {
    let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
    return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
}

/// The help of the option `--guidance-scale`.
var guidanceScaleHelp: ArgumentHelp {
    let (pixart, flux) = (Guidance.classifierFree.defaultScale, Guidance.distilled.defaultScale)
    return
        "Guidance scale, 0 to 100 (default: \(pixart) for PixArt, \(flux) for FLUX); 1 or less disables it for PixArt."
}

/// The guidance of a command, checked against the model: settings without effect are errors.
struct Guided {
    /// The scale to use.
    let scale: Double
    /// The negative prompt given; nil if none was.
    let negativePrompt: String?
    /// Whether the scale has an effect.
    let isScaleUsed: Bool
    /// Whether a negative prompt has an effect.
    let isNegativePromptUsed: Bool

    /// Checks the values given on the command line.
    ///
    /// - Throws: `FileError`, `JSONError`; `ModelConfigurationError` for a setting without effect.
    init(_ folder: ModelFolder, scale: Double?, negativePrompt: String? = nil) throws {
        let guidance = try folder.guidance()
        self.scale = try guidance.scale(scale)
        try guidance.check(negativePrompt: negativePrompt ?? "", scale: self.scale)
        // An empty one without effect is the same as none.
        isNegativePromptUsed = guidance.usesNegativePrompt(scale: self.scale)
        self.negativePrompt = isNegativePromptUsed ? negativePrompt : nil
        isScaleUsed = guidance != .absent
    }
}

/// The option `--precision` of commands that run a model.
struct PrecisionOption: ParsableArguments {
    /// A precision, or the choice by processor.
    enum Choice: String, ExpressibleByArgument, CaseIterable {
        case float32, bfloat16, auto
    }

    @Option(
        help: ArgumentHelp(
            "Number format of the matrix products in transformer and decoder: float32, bfloat16 or auto.",
            discussion: "auto is bfloat16 on processors with AVX512_BF16, otherwise float32."))
    var precision = Choice.float32

    /// The precision for this processor.
    var resolved: Precision {
        switch precision {
        case .float32: .float32
        case .bfloat16: .bfloat16
        case .auto: .fastest
        }
    }
}
