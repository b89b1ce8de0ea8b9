import ArgumentParser
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

        @Option(help: "Negative prompt (default: that of the embeddings, or empty).")
        var negativePrompt: String?

        @Option(help: "Schedule file, JSON or compact (default: uncached).")
        var schedule: String?

        @Option(help: "Index of the schedule in a compact file, from 0.")
        var entry: Int?

        @Option(help: "Seed of the initial noise, the same for every prompt.")
        var seed: UInt64 = 0

        @Option(help: "Number of denoising steps.")
        var steps = 20

        @Option(help: "Guidance scale (default: 4.5 for PixArt, 3.5 for FLUX).")
        var guidanceScale: Float?

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

        @Option(help: "Number of CPU threads (default: all processors).")
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
            if !(1...1000).contains(steps) { throw ValidationError("--steps \(steps): expected 1 to 1000") }
            if let guidanceScale, !guidanceScale.isFinite {
                throw ValidationError("--guidance-scale \(guidanceScale): expected a number")
            }
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
            let folder = try ModelFolder(path: model)
            let embedded = try embeddings.map { try EmbeddingsFile.open($0, for: folder) }
            let texts =
                try prompt.map { [$0] } ?? prompts.map { try promptsFormat.read($0).texts } ?? embedded?.prompts ?? []
            let negative = negativePrompt ?? embedded?.negativePrompt ?? ""
            let schedule = try schedule.map { try ScheduleDocument(path: $0).file(entry: entry, path: $0).schedule }
            let generator = try TextToImage(
                folder, prompts: texts, negativePrompt: negative,
                source: embedded.map(EmbeddingSource.file) ?? .textEncoders)
            let size = (height: height ?? generator.nativeSize, width: width ?? generator.nativeSize)
            let bin = aspectBins ? try generator.aspectRatioBin(height: size.height, width: size.width) : size
            let settings = GenerationSettings(
                height: bin.height, width: bin.width, stepCount: steps,
                guidanceScale: guidanceScale ?? folder.family.guidanceScale)
            let isFile = prompt != nil && output.hasSuffix(".png")
            if !isFile { try createFolder() }
            var rows: [Row] = []
            for (index, text) in texts.enumerated() {
                let generated = try generator.generate(
                    prompt: index, seed: seed, settings: settings, schedule: schedule, outputSize: size)
                let file = isFile ? output : "\(output)/\(String(format: "%05d", index)).png"
                try generated.image.write(to: file, text: chunks(text, negative, settings))
                let row = Row(
                    file: file, prompt: text, seed: seed, denoiseSeconds: generated.denoiseSeconds,
                    decodeSeconds: generated.decodeSeconds)
                rows.append(row)
                if !json {
                    let seconds = String(
                        format: "denoise %.3f s, decode %.3f s", row.denoiseSeconds, row.decodeSeconds)
                    print("\(file)  \(seconds)")
                }
            }
            if json { print(try encoded(Report(images: rows, residentBytes: residentBytes()))) }
        }

        private func createFolder() throws {
            do {
                try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
            } catch {
                throw ModelsError.invalidArgument("--output \(output): the directory cannot be created")
            }
        }

        /// The settings, for the text chunks of the PNG file.
        private func chunks(
            _ prompt: String, _ negativePrompt: String, _ settings: GenerationSettings
        ) -> [(String, String)] {
            [
                ("Software", "ecad \(Program.version)"), ("prompt", prompt), ("negative prompt", negativePrompt),
                ("model", model), ("schedule", schedule ?? ""), ("seed", "\(seed)"), ("steps", "\(settings.stepCount)"),
                ("height", "\(settings.height)"), ("width", "\(settings.width)"),
                ("guidance scale", "\(settings.guidanceScale)"),
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

        /// Resident set size of the process.
        private func residentBytes() -> Int {
            let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
            return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
        }
    }
}
