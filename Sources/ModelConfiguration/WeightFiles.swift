import Basics
import FoundationEssentials
import JSON

/// The files that hold the weights of a network in the layout of `save_pretrained`: one safetensors file, or shards that
/// an index lists.
///
/// If both are present, or only variants such as `model.fp16.safetensors`, the choice is that of the library that the
/// network comes from.
public struct WeightFiles: Hashable, Sendable {
    /// A library with its own names of weight files.
    public enum Library: Sendable {
        /// `diffusion_pytorch_model`; shards take precedence over a single file.
        case diffusers
        /// `model`; a single file takes precedence over shards.
        case transformers

        fileprivate var baseName: String {
            switch self {
            case .diffusers: "diffusion_pytorch_model"
            case .transformers: "model"
            }
        }
    }

    /// The directory.
    public let folder: String
    /// The name of the index; nil for a single file.
    public let index: String?
    /// The names of the safetensors files, sorted.
    public let names: [String]
    /// The file of each tensor, from the index; empty for a single file.
    public let fileOfTensor: [String: String]

    /// Finds the weights in a directory such as `transformer/`; they are not opened.
    ///
    /// - Throws: `FileError` if there are none, several variants or a missing shard; `JSONError` for a malformed index and
    ///   for quantized weights.
    public init(folder: String, library: Library) throws {
        try Self.rejectQuantization(in: folder)
        guard let entries = try? FileManager.default.contentsOfDirectory(atPath: folder) else {
            throw FileContents.missing(folder, expected: "a directory with \(library.baseName).safetensors")
        }
        let suffixes = try Self.suffixes(of: library.baseName, among: entries, in: folder)
        let single = suffixes.single.map { library.baseName + $0 }
        let index = suffixes.index.map { library.baseName + $0 }
        self.folder = folder
        if let index, single == nil || library == .diffusers {
            self.index = index
            fileOfTensor = try Self.shards(of: "\(folder)/\(index)", in: folder, entries)
            names = Set(fileOfTensor.values).sorted()
        } else if let single {
            self.index = nil
            fileOfTensor = [:]
            names = [single]
            guard FileContents.exists("\(folder)/\(single)") else {
                throw FileContents.missing("\(folder)/\(single)", expected: "a safetensors file")
            }
        } else {
            throw Self.absence(of: library, in: folder, entries)
        }
    }

    // MARK: - Choice

    /// The ends of the names of a single file and of an index: the plain ones, or those of the only variant.
    private static func suffixes(
        of base: String, among entries: [String], in folder: String
    ) throws -> (single: String?, index: String?) {
        let (plain, plainIndex) = (".safetensors", ".safetensors.index.json")
        let suffixes = entries.filter { $0.hasPrefix("\(base).") }.map { String($0.dropFirst(base.count)) }
        if suffixes.contains(plain) || suffixes.contains(plainIndex) {
            return (suffixes.first { $0 == plain }, suffixes.first { $0 == plainIndex })
        }
        // diffusers has had two spellings of a variant's index.
        let variants = suffixes.sorted().compactMap { suffix -> (name: String, suffix: String, isIndex: Bool)? in
            for (start, end) in [(".", plain), (".", plainIndex), (".safetensors.index.", ".json")]
            where suffix.hasPrefix(start) && suffix.hasSuffix(end) && suffix.count > start.count + end.count {
                let name = suffix.dropFirst(start.count).dropLast(end.count)
                // Not the shards of a variant, model.fp16-00001-of-00002.safetensors.
                if !name.contains("."), !name.contains("-of-") {
                    return (String(name), suffix, suffix.hasSuffix(".json"))
                }
            }
            return nil
        }
        let names = Set(variants.map(\.name)).sorted()
        guard names.count <= 1 else {
            throw FileError(
                path: folder,
                problem: "has the variants \(names.joined(separator: " and ")) of \(base).safetensors; expected "
                    + "\(base).safetensors or a single variant")
        }
        return (variants.first { !$0.isIndex }?.suffix, variants.first { $0.isIndex }?.suffix)
    }

    private static func shards(of path: String, in folder: String, _ entries: [String]) throws -> [String: String] {
        let index = try Configuration(path: path, expected: "an index of safetensors files")
        let fileOfTensor = try index.strings("weight_map")
        for shard in Set(fileOfTensor.values).sorted() {
            guard !shard.isEmpty, !shard.contains("/") else {
                throw index.mismatch(
                    "weight_map", found: "\"\(shard)\"", expected: "names of files in the same directory")
            }
            guard !FileContents.exists("\(folder)/\(shard)") else { continue }
            let missing = FileContents.missing("\(folder)/\(shard)", expected: "a shard listed in \(path)")
            throw isIncomplete(in: folder, entries) ? incomplete(missing) : missing
        }
        return fileOfTensor
    }

    private static func rejectQuantization(in folder: String) throws {
        let path = "\(folder)/config.json"
        guard FileContents.exists(path) else { return }
        let configuration = try Configuration(path: path)
        for key in ["quantization_config", "compression_config"] where configuration.has(key) {
            let method = try? configuration.section(key).string("quant_method")
            throw configuration.mismatch(
                key, found: method.map { "that of \"\($0)\"" } ?? "present",
                expected: "no \(key): quantized weights are not supported, only F32, F16, BF16 and F64")
        }
    }

    // MARK: - Absence

    /// The error about a directory without weights, which says what is there instead.
    private static func absence(of library: Library, in folder: String, _ entries: [String]) -> FileError {
        let expected = "\(library.baseName).safetensors or \(library.baseName).safetensors.index.json in this directory"
        func first(_ suffixes: String...) -> String? {
            entries.sorted().first { name in suffixes.contains(where: name.hasSuffix) }
        }
        let missing = FileError(path: folder, problem: "no weights found; expected \(expected)")
        if isIncomplete(in: folder, entries) { return incomplete(missing) }
        if let pickle = first(".bin", ".pth", ".pt", ".ckpt") {
            return FileError(
                path: "\(folder)/\(pickle)",
                problem:
                    "is a pickle, which can run code when loaded and is not supported; expected \(expected): download "
                    + "them, or convert with from_pretrained(...) and save_pretrained(..., safe_serialization=True)")
        }
        if let other = first(".safetensors", ".gguf", ".msgpack", ".h5", ".onnx") {
            return FileError(path: folder, problem: "no weights found but \(other); expected \(expected)")
        }
        return missing
    }

    /// Whether a download has left a part of a file here or, with `hf download --local-dir`, in the model's `.cache`.
    private static func isIncomplete(in folder: String, _ entries: [String]) -> Bool {
        let url = URL(filePath: folder).standardized
        let cache = url.deletingLastPathComponent().appending(path: ".cache/huggingface/download").path
        let others = [url.lastPathComponent, ""].flatMap { name in
            (try? FileManager.default.contentsOfDirectory(atPath: "\(cache)/\(name)")) ?? []
        }
        return (entries + others).contains { $0.hasSuffix(".incomplete") }
    }

    private static func incomplete(_ error: FileError) -> FileError {
        FileError(
            path: error.path,
            problem: error.problem + "; the download is incomplete (there are .incomplete files): repeat it")
    }
}
