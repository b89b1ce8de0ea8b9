import Foundation
import Tensors
import TestSupport
import Testing

@Suite struct ScoreTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try FileManager.default.createDirectory(atPath: folder.file("images"), withIntermediateDirectories: true)
        for number in 0..<3 {
            let pixels = (0..<(3 * 12 * 12)).map { UInt8($0 * (number + 3) % 256) }
            try Image(width: 12, height: 12, pixels: pixels).write(to: folder.file("images/0000\(number).png"))
        }
        _ = try folder.write("one\ntwo\nthree\n", to: "prompts.txt")
    }

    private func score(_ arguments: [String]) throws -> ProgramRun {
        let run = try ProgramRun("ecad", ["score", "--images", folder.file("images"), "--threads", "1"] + arguments)
        _ = run.wait()
        return run
    }

    @Test func scoresArePrintedAndWrittenAsCSV() throws {
        let run = try score([
            "--scorer", "psnr", "--scorer", "\(Fixtures.folder)/image-reward/model", "--scorer",
            "\(Fixtures.folder)/inception/model", "--reference", folder.file("images"), "--prompts",
            folder.file("prompts.txt"), "--scores", folder.file("scores.csv"),
        ])
        #expect(run.wait() == 0, "\(run.errors)")
        let lines = run.output.split(separator: "\n")
        #expect(lines.count == 4 && lines[1].hasPrefix("psnr") && lines[2].hasPrefix("image-reward"))
        #expect(lines[3].hasPrefix("Frechet distance (inception-v3): 0.0000, 3 images against 3"))
        let scores = try String(contentsOfFile: folder.file("scores.csv"), encoding: .utf8).split(separator: "\n")
        #expect(scores.count == 7 && scores[1] == "00000.png,psnr,100.0,one")
    }

    @Test func unreadableImageIsReportedAndExitsWithOne() throws {
        try Data("no image".utf8).write(to: URL(filePath: folder.file("images/00001.png")))
        let run = try score(["--scorer", "psnr", "--reference", folder.file("images"), "--json"])
        #expect(run.wait() == 1)
        #expect(
            run.errors.contains("00001.png: skipped: not an image; expected PNG or JPEG")
                && run.errors.contains("1 failure"))
        #expect(run.output.contains("\"images\" : 2"))
    }

    @Test func rulesAndFormatsCanBeGiven() throws {
        let scorer = ["--scorer", "\(Fixtures.folder)/image-reward/model"]
        _ = try folder.write("[one]\ntwo\nthree\nfour\n", to: "four.txt")
        let refused = try score(scorer + ["--prompts", folder.file("four.txt")])
        #expect(refused.wait() == 1 && refused.errors.contains("needs the format \"lines\""))
        let arguments = scorer + ["--prompts", folder.file("four.txt"), "--prompts-format", "lines"]
        #expect(try score(arguments).errors.contains("1 of 4 prompts have no image"))
        let run = try score(arguments + ["--pair-by", "index", "--json"])
        #expect(run.wait() == 0 && run.output.contains("\"pairing\" : \"index\""))
        #expect(run.errors.contains("counted from 0; 1 prompt has no image"))
        #expect(try score(["--scorer", "psnr", "--pair-by", "index"]).wait() == 2)
        #expect(try score(["--scorer", "psnr", "--prompts-format", "lines"]).wait() == 2)
        #expect(try score(arguments + ["--pair-by", "colour"]).wait() == 2)
    }

    @Test func usageErrorsExitWithTwoAndMissingInputsWithOne() throws {
        #expect(try score(["--scorer", "nonsense"]).wait() == 2)
        #expect(try score([]).wait() == 2)
        for arguments in [
            ["--scorer", "psnr"], ["--scorer", "\(Fixtures.folder)/clip/model"],
            ["--scorer", "frechet:/nowhere", "--reference", folder.file("images")],
            ["--scorer", "psnr", "--reference", "/nowhere"],
        ] {
            let run = try score(arguments)
            #expect(run.wait() == 1 && run.errors.split(separator: "\n").count == 1, "\(arguments): \(run.errors)")
        }
    }
}
