import Foundation
import Tensors
import TestSupport
import Testing

/// `ecad bench engine` and the choice of the instruction set.
@Suite struct BenchEngineTests {
    private struct Report: Decodable {
        let part, precision, kernels: String
        let threads: Int
        let operations: Double?
        let seconds: [Double]
    }

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func run(
        _ arguments: [String], input: String = "", environment: [String: String] = [:]
    ) throws -> ProgramRun {
        let run = try ProgramRun("ecad", ["bench", "engine"] + arguments, input: input, environment: environment)
        #expect(run.wait() == 0, "\(run.errors)")
        return run
    }

    private func report(_ line: Substring) throws -> Report {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Report.self, from: Data(line.utf8))
    }

    @Test func productsAndAttentionAreTimed() throws {
        let product = try report(
            run(["--part", "product", "--shape", "64x96x128", "--repeats", "3", "--threads", "2"]).output[...])
        #expect(product.operations == 2 * 64 * 96 * 128 && product.threads == 2 && product.precision == "float32")
        #expect(product.seconds.count == 3 && product.seconds.allSatisfy { $0 > 0 })
        for precision in ["float32"] + (CPU.hasBFloat16 ? ["bfloat16"] : []) {
            let attention = try report(
                run(["--part", "attention", "--shape", "2x3x40x8", "--precision", precision]).output[...])
            #expect(attention.operations == 4 * 2 * 3 * 40 * 40 * 8 && attention.precision == precision)
            #expect(attention.seconds.count == 5)
        }
    }

    @Test func stagesOfAModelRunOncePerLine() throws {
        let prompts = try folder.write("a red cube\n", to: "prompts.txt")
        let embeddings = folder.file("prompts.safetensors")
        let embed = try ProgramRun(
            "ecad", ["embed", "--model", SmallRun.model, "--prompts", prompts, "-o", embeddings])
        #expect(embed.wait() == 0, "\(embed.errors)")
        for part in ["forward", "denoise", "decode", "generate"] {
            let steps = part == "denoise" || part == "generate" ? ["--steps", "3"] : []
            let found = try run(
                ["--part", part, "--model", SmallRun.model, "--embeddings", embeddings, "--each-line"] + steps,
                input: "\n\n\n")
            let lines = found.output.split(separator: "\n")
            #expect(try report(lines[0]).part == part)
            #expect(lines.dropFirst().compactMap { Double($0) }.filter { $0 > 0 }.count == 3)
        }
    }

    @Test(arguments: [
        (["--part", "product"], "--shape"), (["--part", "product", "--shape", "3x4"], "ROWSxOUTPUTSxINPUTS"),
        (["--part", "attention", "--shape", "1x1x0x1"], "IMAGESxHEADSxTOKENSxDIMENSION"),
        (["--part", "product", "--shape", "1x1x1", "--steps", "3"], "--steps has no effect"),
        (["--part", "forward", "--model", "m"], "expected --embeddings"),
        (["--part", "decode", "--model", "m", "--embeddings", "e", "--steps", "3"], "no effect"),
        (["--part", "denoise", "--model", "m", "--embeddings", "e", "--shape", "1x1x1"], "--shape has no effect"),
    ])
    func optionsWithoutEffectAreErrors(arguments: [String], expected: String) throws {
        let run = try ProgramRun("ecad", ["bench", "engine"] + arguments)
        #expect(run.wait() == 2)
        #expect(run.errors.contains(expected), "\(run.errors)")
    }

    @Test func environmentLimitsTheInstructionSet() throws {
        let product = ["--part", "product", "--shape", "20x30x40", "--repeats", "1"]
        let portable = try run(product, environment: ["ECAD_KERNELS": "portable"])
        #expect(try report(portable.output[...]).kernels == "portable")
        for (program, arguments) in [
            ("ecad", ["bench", "engine"] + product),
            ("ecad-worker", ["run", "--coordinator", "tcp://127.0.0.1:9", "--models", SmallRun.model]),
        ] {
            let wrong = try ProgramRun(program, arguments, environment: ["ECAD_KERNELS": "sse"])
            #expect(wrong.wait() == 1)
            #expect(
                wrong.errors.contains("ECAD_KERNELS is \"sse\"; expected portable, avx2, avx512 or amx"),
                "\(wrong.errors)")
        }
        // Without AVX-512 there is no bfloat16.
        let narrow = try ProgramRun(
            "ecad", ["bench", "engine", "--precision", "bfloat16"] + product, environment: ["ECAD_KERNELS": "portable"])
        #expect(narrow.wait() == 1)
        #expect(
            narrow.errors.contains("ECAD_KERNELS=portable excludes; expected float32 or auto"), "\(narrow.errors)")
    }
}
