import ArgumentParser
import Basics
import Foundation
import ModelConfiguration
import Models
import ProgramSupport
import Prompts
import Schedules
import Tensors

extension EcadCommand {
    struct Embed: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes prompts' embeddings to a file, once for all machines.",
            discussion: """
                With the file, ecad generate and a run's workers need neither the text encoders nor the tokenizers of the model: name it \
                with --embeddings, or as prompts.embeddings in the run's configuration.
                """)

        @Option(help: "A model directory in the diffusers layout.")
        var model: String

        @Option(
            help:
                "A file of prompts: one a line, or a published set (ImageReward, PartiPrompts, DrawBench, COCO, MJHQ-30K)."
        )
        var prompts: String

        @Option(help: "The prompt of the unconditional half.")
        var negativePrompt = ""

        @Option(help: "Threads of the matrix products (default: all processors).")
        var threads: Int?

        @Option(name: [.customShort("o"), .customLong("output")], help: "The .safetensors file to write.")
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
            let folder = try ModelFolder(path: model)
            let texts = try PromptSet(file: prompts).texts
            try PromptEmbeddings.write(
                prompts: texts, negativePrompt: negativePrompt, model: folder,
                fingerprint: try ModelFingerprint.compute(folder: model, part: .text), to: output)
            let report = Report(
                file: output, prompts: texts.count, sha256: try SHA256.digest(ofFile: output).hexadecimal)
            guard json else { return print("\(output): \(texts.count) prompts, SHA-256 \(report.sha256)") }
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

/// A file of embeddings that a command line names.
enum EmbeddingsFile {
    /// Opens the file; where the model has text encoders, they must be those that wrote it.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    static func open(_ path: String, for model: ModelFolder) throws -> PromptEmbeddings {
        let embeddings = try PromptEmbeddings(path: path)
        guard ModelFingerprint.hasText(folder: model.path) else { return embeddings }
        let own = try ModelFingerprint.compute(folder: model.path, part: .text)
        guard own == embeddings.textEncoder else {
            throw ModelsError.invalidArgument(
                "\(path): written by other text encoders than those of \(model.path); write it again with ecad embed")
        }
        return embeddings
    }
}
