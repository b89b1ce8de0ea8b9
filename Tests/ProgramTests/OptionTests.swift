import Foundation
import TestSupport
import Testing

/// Options without effect, values without sense and unsuitable output paths are rejected before any work is done.
@Suite struct OptionTests {
    private let folder: TemporaryFolder
    private let prompts: String

    init() throws {
        folder = try TemporaryFolder()
        prompts = try folder.write("a red cube\na green ball\n", to: "prompts.txt")
        _ = try folder.write(
            "[model]\npath = \"\(SmallRun.model)\"\n[prompts]\ncalibration = \"prompts.txt\"\n", to: "run.toml")
    }

    /// Runs a program; arguments that begin with `@` are file names in the test's directory.
    private func run(_ program: String, _ arguments: [String]) throws -> (status: Int32?, errors: String) {
        let run = try ProgramRun(
            program, arguments.map { $0.hasPrefix("@") ? folder.file(String($0.dropFirst())) : $0 })
        return (run.wait(), run.errors)
    }

    // MARK: - Usage

    @Test(arguments: [
        ("ecad", "generate --model m --prompt x -o x.png --entry 1", "--entry is only allowed with --schedule"),
        ("ecad", "generate --model m --prompt x -o x.jpg", "x.jpg: expected a name ending in .png"),
        ("ecad", "generate --model m --prompt x -o x", "expected a name ending in .png"),
        ("ecad", "generate --model m --prompts p -o x.png", "expected a directory"),
        ("ecad", "generate --model m --prompts p -o x.JPEG", "expected a directory"),
        (
            "ecad", "generate --model m --prompt x -o x.png --guidance-scale 1e30",
            "--guidance-scale 1e+30: expected 0 to 100"
        ),
        (
            "ecad", "generate --model m --prompt x -o x.png --guidance-scale nan",
            "--guidance-scale nan: expected 0 to 100"
        ),
        ("ecad", "embed --model m --prompts p -o x.txt", "expected a name ending in .safetensors"),
        ("ecad", "verify --model m --reference r --tolerance inf", "--tolerance inf: expected 0 to 1"),
        ("ecad", "score --scorer psnr --scorer psnr --images i --reference r", "--scorer psnr: given twice"),
        ("ecad", "score --scorer frechet:d --images i --reference r --prompts p", "--prompts is only allowed"),
        ("ecad", "score --scorer frechet:d --images i --reference r --scores s.csv", "--scores is only allowed"),
        ("ecad", "score --scorer psnr --images i --reference r --scores s.txt", "expected a name ending in .csv"),
        ("ecad", "schedule convert a.json -o b.json --force", "--force is only allowed with --model"),
        ("ecad", "bench model --model m --guidance-scale 101", "--guidance-scale 101: expected 0 to 100"),
        (
            "ecad", "bench presets --model m --set most_flips=8",
            "most_flips=8: has no effect while region_probability is 1"
        ),
        ("ecad", "bench presets --model m --set screening=2.5", "--set screening=2.5: expected an integer"),
        (
            "ecad", "bench presets --model m --against nsga2 --against-set screening=nan", "--against-set screening=nan"
        ),
        ("ecad", "bench presets --model m --against-set screening=2", "--against-set is only allowed with --against"),
        ("ecad", "bench presets --model m --checkpoints 4,x", "--checkpoints 4,x: expected integers from 1 to 480"),
        ("ecad", "bench presets --model m --set crossover_probability=2", "crossover_probability"),
        ("ecad", "bench presets --model m --against default", "both presets are the same"),
        ("ecad-coordinator", "run --config c --run-dir r --worker-threads 2", "only allowed with --workers"),
        ("ecad-coordinator", "query --run-dir r front --exact --format csv", "--exact is only allowed"),
        ("ecad-coordinator", "pick --run-dir r --min-quality nan", "--min-quality is nan; expected a number"),
        ("ecad-coordinator", "pick --run-dir r --max-latency -1", "--max-latency is -1.0; expected a ratio above 0"),
        ("ecad-coordinator", "pick --run-dir r --max-latency 40", "at most 2, such as 0.4 for 40 % of the time"),
        ("ecad-coordinator", "export --run-dir r --candidate 1 --format ecad-json -o x.ecad", "ending in .json"),
        ("ecad-coordinator", "export --run-dir r --front --format compact -o x.json", "ending in .ecad"),
        ("ecad-coordinator", "export --run-dir r --front --format ecad-json -o x.json", "expected a directory"),
        ("ecad-coordinator", "simulate --config c --hosts 1 --speed-spread 2", "at least two --hosts"),
        ("ecad-coordinator", "simulate --config c --replacement-seconds 5", "only allowed with --preemption"),
        ("ecad-coordinator", "simulate --config c --price inf", "--price inf: expected 0 to"),
        ("ecad-testing", "load --coordinator tcp://127.0.0.1:1 --models m --seconds nan", "--seconds nan"),
        ("ecad-testing", "load --coordinator tcp://127.0.0.1:1 --models m --count 0", "--count 0"),
        ("ecad", "generate --model m --promt x -o x.png", "unknown option --promt; did you mean --prompt?"),
        (
            "ecad-worker", "run --coordinator tcp://127.0.0.1:1 --model m",
            "unknown option --model; did you mean --models?"
        ),
        ("ecad", "generate --model m --prompt x -o x.png --steps -5", "--steps -5: expected 1 to 1000"),
        ("ecad", "generate --model m --prompt x -o x.png --seed -1", "'-1' is invalid for '--seed"),
        ("ecad-coordinator", "run --config c --run-dir r --workers -1", "--workers -1: expected 0 to 1024"),
        ("ecad-worker", "run --coordinator tcp://127.0.0.1:1 --models m --grace -.5", "--grace -0.5: expected 0"),
        ("ecad-coordinator", "run --config= --run-dir r", "--config is empty; expected a value"),
        // Found only while the command runs.
        ("ecad", "score --scorer nonsense --images i", "--scorer nonsense: expected psnr"),
        ("ecad-coordinator", "keys authorize w nothex --keys /nowhere", "expected 64 hexadecimal digits"),
        ("ecad-worker", "run --coordinator tcp://192.0.2.1:5555 --models m", "--insecure-plaintext"),
    ])
    func usageErrorsShowTheUsageOfTheirCommand(_ program: String, _ line: String, _ part: String) throws {
        let arguments = line.split(separator: " ").map(String.init)
        let (status, errors) = try run(program, arguments)
        #expect(status == 2, "\(line): \(errors)")
        #expect(errors.contains(part), "\(line): \(errors)")
        let nested = ["schedule", "bench", "keys"].contains(arguments[0])
        let command = ([program] + arguments.prefix(nested ? 2 : 1)).joined(separator: " ")
        #expect(
            errors.contains("\nUsage: \(command) [") || errors.contains("\nUsage: \(command) -")
                || errors.contains("\nUsage: \(command) <"), "\(errors)")
        #expect(errors.contains("See '\(command) --help'"), "\(errors)")
    }

    @Test func misspeltSubcommandsAreNamed() throws {
        let (status, errors) = try run("ecad", ["generat", "--model", "m"])
        #expect(status == 2 && errors.contains("unknown subcommand \"generat\"; did you mean generate?"), "\(errors)")
    }

    /// An unset variable of a script gives an empty argument, and `""` as a path would be the current directory, or the root.
    @Test func emptyValuesAreRejected() throws {
        for (program, arguments, part) in [
            ("ecad-coordinator", ["run", "--config", "@run.toml", "--run-dir", ""], "--run-dir is empty"),
            ("ecad-coordinator", ["status", "--run-dir", ""], "--run-dir is empty"),
            ("ecad-worker", ["run", "--coordinator", "tcp://127.0.0.1:1", "--models", ""], "--models is empty"),
            ("ecad", ["generate", "--model", "m", "--prompt", "x", "-o", ""], "-o is empty"),
            ("ecad", ["schedule", "info", ""], "an argument is empty"),
        ] {
            let (status, errors) = try run(program, arguments)
            #expect(status == 2 && errors.contains("\(part); expected a value"), "\(arguments): \(errors)")
        }
        let small = try SmallRun()
        let key = try small.begin(workers: 1, ["--set", "prompts.calibration="])
        #expect(
            key.wait() == 1 && key.errors.contains("--set: prompts.calibration is \"\"; expected a path"),
            "\(key.errors)")
        // An empty prompt is one.
        let (status, errors) = try run(
            "ecad", ["generate", "--model", SmallRun.model, "--prompt", "", "--steps", "1", "-o", "@empty.png"])
        #expect(status == 0, "\(errors)")
    }

    @Test func repeatedOptionsAreWarnedOf() throws {
        let (status, errors) = try run(
            "ecad-coordinator", ["status", "--run-dir", "/nowhere", "--run-dir", "/nowhere-else"])
        #expect(status == 1 && errors.contains("warning: --run-dir is given more than once"), "\(errors)")
        #expect(errors.contains("/nowhere-else/history.sqlite does not exist"), "\(errors)")
    }

    // MARK: - Output

    /// `/dev/full` accepts nothing, like a full disk.
    @Test(arguments: [10, 100_000])
    func outputThatCannotBeWrittenIsAnError(_ rows: Int) throws {
        let small = try SmallRun(generations: 1)
        #expect(try small.begin(workers: 1).wait() == 0)
        let sql = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT \(rows)) SELECT x FROM c"
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = [
            "-c", "exec \"$0\" query --run-dir \"$1\" --sql \"$2\" >/dev/full",
            "\(ProgramRun.productFolder)/ecad-coordinator", small.runFolder, sql,
        ]
        let errors = Pipe()
        shell.standardError = errors
        try shell.run()
        let text = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        shell.waitUntilExit()
        #expect(shell.terminationStatus == 1)
        #expect(text.contains("standard output: cannot be written"), "\(text)")
    }

    // MARK: - Output paths

    @Test func inputsAreNotOverwritten() throws {
        let embeddings = try folder.write("kept", to: "x.safetensors")
        _ = try folder.write("kept", to: "x.json")
        try FileManager.default.createSymbolicLink(atPath: folder.file("link.json"), withDestinationPath: "x.json")
        for arguments in [
            ["embed", "--model", SmallRun.model, "--prompts", embeddings, "-o", embeddings],
            ["schedule", "convert", "@x.json", "-o", "@x.json"],
            ["schedule", "convert", "@x.json", "-o", "@link.json"],
            ["bench", "model", "--model", SmallRun.model, "--prompts", "@prompts.txt", "-o", "@prompts.txt"],
        ] {
            let (status, errors) = try run("ecad", arguments)
            #expect(status == 2 && errors.contains("would replace the input"), "\(arguments): \(errors)")
        }
        for name in ["x.safetensors", "x.json", "link.json"] {
            #expect(try String(contentsOfFile: folder.file(name), encoding: .utf8) == "kept")
        }
    }

    @Test(arguments: [
        ("@dir.png", "dir.png: is a directory"), ("@none/x.png", "none is not a directory"),
        ("@prompts.txt/x.png", "prompts.txt is not a directory"), ("@fifo.png", "is not a regular file"),
    ])
    func unsuitableOutputFilesAreNamed(_ output: String, _ part: String) throws {
        try FileManager.default.createDirectory(atPath: folder.file("dir.png"), withIntermediateDirectories: false)
        #expect(mkfifo(folder.file("fifo.png"), 0o600) == 0)
        let (status, errors) = try run("ecad", ["generate", "--model", SmallRun.model, "--prompt", "x", "-o", output])
        #expect(status == 1 && errors.contains(part) && errors.split(separator: "\n").count == 1, "\(errors)")
    }

    @Test func fileInPlaceOfAnOutputDirectoryIsNamed() throws {
        let (status, errors) = try run(
            "ecad", ["generate", "--model", SmallRun.model, "--prompts", "@prompts.txt", "-o", "@prompts.txt"])
        #expect(status == 1 && errors.contains("prompts.txt is not a directory"), "\(errors)")
    }

    // MARK: - Models and configurations

    @Test(arguments: [
        (["generate", "--prompt", "x", "-o", "@x.png", "--negative-prompt", "blurred"], "FLUX"),
        (["embed", "--prompts", "@prompts.txt", "-o", "@x.safetensors", "--negative-prompt", "blurred"], "FLUX"),
    ])
    func negativePromptOfFluxIsRejected(_ arguments: [String], _ part: String) throws {
        let (status, errors) = try run("ecad", arguments + ["--model", "\(Fixtures.folder)/flux-small/model"])
        #expect(status == 1 && errors.contains("negative prompt is \"blurred\"; expected none"), "\(errors)")
        #expect(errors.contains(part))
        #expect(!FileManager.default.fileExists(atPath: folder.file("x.png")))
        #expect(!FileManager.default.fileExists(atPath: folder.file("x.safetensors")))
    }

    @Test func negativePromptWithoutGuidanceIsRejected() throws {
        let (status, errors) = try run(
            "ecad",
            [
                "generate", "--model", SmallRun.model, "--prompt", "x", "-o", "@x.png", "--negative-prompt", "blurred",
                "--guidance-scale", "1",
            ])
        #expect(status == 1 && errors.contains("guidance scale above 1"), "\(errors)")
    }

    @Test func guidanceScaleOfAModelWithoutGuidanceIsRejected() throws {
        let model = try ModelCopy(of: "flux-small")
        try model.set("guidance_embeds", to: "false", in: "transformer/config.json")
        let (status, errors) = try run(
            "ecad", ["generate", "--model", model.path, "--prompt", "x", "-o", "@x.png", "--guidance-scale", "3"])
        #expect(status == 1 && errors.contains("guidance scale is 3.0; expected none"), "\(errors)")
    }

    @Test(arguments: [
        ("tasks.seconds=5", "tasks.seconds is only allowed without tasks.schedules"),
        ("prompts.negative=blurred", "prompts.negative is \"blurred\""),
        ("search.seeding=[\"fora\", \"fora\"]", "search.seeding is [\"fora\", \"fora\"]; expected every source once"),
        ("search.seeding=[]", "search.seeding is []; expected every source once, and at least one"),
        ("run.directory=x", "--set: run.directory is only allowed in the configuration that the coordinator stores"),
    ])
    func keysWithoutEffectEndARun(_ assignment: String, _ part: String) throws {
        let run = try SmallRun()
        let process = try run.begin(workers: 1, ["--set", assignment, "--set", "model.guidance_scale=1"])
        #expect(process.wait() == 1 && process.errors.contains(part), "\(process.errors)")
        #expect(!FileManager.default.fileExists(atPath: run.runFolder))
    }
}
