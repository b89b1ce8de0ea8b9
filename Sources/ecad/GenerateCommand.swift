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
            abstract: "Generates images from prompts, under a caching schedule if one is given.")

        @Option(help: "A model directory in the diffusers layout.")
        var model: String

        @Option(help: "A prompt.")
        var prompt: String?

        @Option(
            help:
                "A file of prompts: one a line, or a published set (ImageReward, PartiPrompts, DrawBench, COCO, MJHQ-30K)."
        )
        var prompts: String?

        @Option(help: "Prompts that ecad embed has embedded: the model's text encoders are not needed.")
        var embeddings: String?

        @Option(help: "The prompt of the unconditional half (default: empty, or that of the embeddings).")
        var negativePrompt: String?

        @Option(help: "A schedule file, published JSON or compact (default: recompute everything).")
        var schedule: String?

        @Option(help: "The schedule's position in a compact file that holds several.")
        var entry: Int?

        @Option(help: "The seed of the initial noise, the same for every prompt.")
        var seed: UInt64 = 0

        @Option(help: "Denoising steps.")
        var steps = 20

        @Option(help: "The scale of guidance (default: 4.5, for FLUX 3.5, as the original pipelines).")
        var guidanceScale: Float?

        @Option(help: "Height in pixels (default: the model's own).")
        var height: Int?

        @Option(help: "Width in pixels (default: the model's own).")
        var width: Int?

        @Flag(
            help: ArgumentHelp(
                "Generate at the nearest size that the model was trained at, then scale and cut to the size asked for.",
                discussion: "PixArt only; its original pipelines do so by default. Any height and width will do then."))
        var aspectBins = false

        @Option(help: "Threads of the matrix products (default: all processors).")
        var threads: Int?

        @Option(name: [.customShort("o"), .customLong("output")], help: "A .png file for one prompt, else a folder.")
        var output: String

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            if prompt != nil, prompts != nil { throw ValidationError("give --prompt or --prompts, not both") }
            if prompt == nil, prompts == nil, embeddings == nil {
                throw ValidationError("give --prompt, --prompts or --embeddings")
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
                try prompt.map { [$0] } ?? prompts.map { try PromptSet(file: $0).texts } ?? embedded?.prompts ?? []
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
                        format: "%.3f s denoising, %.3f s decoding", row.denoiseSeconds, row.decodeSeconds)
                    print("\(file)  \(seconds)")
                }
            }
            if json { print(try encoded(Report(images: rows, residentBytes: residentBytes()))) }
        }

        private func createFolder() throws {
            do {
                try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
            } catch {
                throw ModelsError.invalidArgument("--output \(output): the folder cannot be made")
            }
        }

        /// What the image was made with, for its text chunks.
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

        /// The process's resident memory as the kernel counts it.
        private func residentBytes() -> Int {
            let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ") ?? []
            return (fields.count > 1 ? Int(fields[1]) ?? 0 : 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
        }
    }
}
