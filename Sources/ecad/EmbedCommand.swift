import ArgumentParser
import Basics
import Foundation
import ModelConfiguration
import Models
import ProgramSupport
import Prompts
import Tensors

extension EcadCommand {
    struct Embed: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Embed prompts and write the embeddings to a file.",
            discussion: """
                With this file, ecad generate (--embeddings) and the workers of a run (prompts.embeddings in its configuration) \
                need neither the text encoders nor the tokenizers of the model.
                """)

        @Option(help: "Model directory in the diffusers layout.")
        var model: String

        @Option(
            help:
                "Prompt file: one prompt per line, or a published set (ImageReward, PartiPrompts, DrawBench, COCO, MJHQ-30K)."
        )
        var prompts: String

        @OptionGroup var promptsFormat: PromptsFormatOption

        @Option(help: "Negative prompt for classifier-free guidance (PixArt).")
        var negativePrompt = ""

        @Option(help: "Number of CPU threads (default: the processors of the affinity mask, within the CPU quota).")
        var threads: Int?

        @Option(name: [.customShort("o"), .customLong("output")], help: "Output file (.safetensors).")
        var output: String

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            if let threads, !(1...1024).contains(threads) {
                throw ValidationError("--threads \(threads): expected 1 to 1024")
            }
        }

        func run() throws {
            BLAS.setThreadCount(threads ?? CPU.availableCount)
            try OutputPath.checkFile("--output", output, endings: [".safetensors"], inputs: [prompts])
            let folder = try ModelFolder(path: model)
            let guidance = try folder.guidance()
            // With any scale that enables it.
            try guidance.check(negativePrompt: negativePrompt, scale: guidance.defaultScale)
            let texts = try promptsFormat.read(prompts).texts
            let warnings = try PromptEmbeddings.write(
                prompts: texts, negativePrompt: negativePrompt, model: folder,
                fingerprint: try ModelFingerprint.compute(folder: model, part: .text), to: output)
            for warning in warnings { Program.printError("ecad: warning: \(warning)") }
            let report = Report(
                file: output, prompts: texts.count, sha256: try SHA256.digest(ofFile: output).hexadecimal)
            let count = texts.count == 1 ? "1 prompt" : "\(texts.count) prompts"
            guard json else { return Program.printText("\(output): \(count), SHA-256 \(report.sha256)") }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        }

        private struct Report: Encodable {
            let file: String
            let prompts: Int
            let sha256: String
        }
    }
}

enum EmbeddingsFile {
    /// Opens a file of embeddings and checks it against the model's text encoders, if there are any.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    static func open(_ path: String, for model: ModelFolder) throws -> PromptEmbeddings {
        let embeddings = try PromptEmbeddings(path: path)
        guard ModelFiles.hasText(folder: model.path) else { return embeddings }
        let own = try ModelFingerprint.compute(folder: model.path, part: .text)
        guard
            ModelFingerprint.compare(embeddings.textEncoder, with: own, folder: model.path, part: .text) != .different
        else {
            throw ModelsError.invalidArgument(
                "\(path): written with other text encoders; expected those of \(model.path), rerun ecad embed")
        }
        return embeddings
    }
}
