import Foundation
import History
import TestSupport
import Testing

/// Commands that read the history of a finished run.
@Suite struct HistoryCommandTests {
    /// A copy of a finished run with a benchmark.
    private func finishedRun() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: "\(Fixtures.folder)/recipes/history.sqlite", toPath: folder.file("history.sqlite"))
        return folder
    }

    private func coordinator(
        _ arguments: String..., input: String = ""
    ) throws -> (status: Int32?, output: String, errors: String) {
        let run = try ProgramRun("ecad-coordinator", arguments, input: input)
        return (run.wait(), run.output, run.errors)
    }

    @Test func queriesComeFromTheCommandLineAFileOrStandardInput() throws {
        let folder = try finishedRun()
        let sql = "SELECT candidate_id, quality\nFROM pareto_front -- slowest first\nLIMIT 2;\n"
        let file = try folder.write(sql, to: "question.sql")
        let expected = "candidate_id  quality\n           1      100\n           6    63.95\n"
        for (option, input) in [(sql, ""), ("@\(file)", ""), ("-", sql)] {
            let result = try coordinator("query", "--run-dir", folder.path, "--sql", option, input: input)
            #expect(result.status == 0 && result.output == expected, "\(option): \(result.output)\(result.errors)")
        }
        let absent = try coordinator("query", "--run-dir", folder.path, "--sql", "@\(folder.file("none.sql"))")
        #expect(absent.status == 1 && absent.errors.contains("none.sql"))
        let empty = try coordinator("query", "--run-dir", folder.path, "--sql", "-")
        #expect(empty.status == 1 && empty.errors.contains("no statement"), "\(empty.errors)")
    }

    @Test func cellsAreCutOnATerminalOnly() throws {
        let folder = try finishedRun()
        let program = "\(ProgramRun.productFolder)/ecad-coordinator"
        let query = "\(program) query --run-dir \(folder.path) --sql 'SELECT configuration FROM runs'"
        let whole = try coordinator("query", "--run-dir", folder.path, "--sql", "SELECT configuration FROM runs")
        #expect(whole.status == 0 && whole.output.contains("recheck_share"))
        // script gives the command a terminal.
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/script")
        process.arguments = ["-qec", "stty cols 60; \(query); \(query) --exact", "/dev/null"]
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let lines = text.split(whereSeparator: \.isNewline)
        try #require(process.terminationStatus == 0 && lines.count == 4, "\(text)")
        #expect(lines[1].count == 60 && lines[1].hasSuffix("…"))
        #expect(lines[3].contains("recheck_share"))
    }

    @Test(arguments: ["front", "hypervolume", "genes", "workers"])
    func plotsAreWrittenAsSVGAndPNG(kind: String) throws {
        let folder = try finishedRun()
        let svg = try coordinator("plot", kind, "--run-dir", folder.path, "-o", folder.file("x.svg"))
        #expect(svg.status == 0, "\(svg.errors)")
        let document = try String(contentsOfFile: folder.file("x.svg"), encoding: .utf8)
        let history = try RunHistory.openReadOnly(in: folder.path)
        func count(_ sql: String) throws -> Int {
            guard case .integer(let number) = try history.query(sql).rows[0][0] else { return -1 }
            return Int(number)
        }
        func elements(_ start: String) -> Int { document.components(separatedBy: start).count - 1 }
        switch kind {
        case "front":
            // One more in the legend.
            #expect(try elements("<circle class=\"member\"") == count("SELECT count(*) + 1 FROM pareto_front"))
        case "hypervolume":
            let line = document.components(separatedBy: "<polyline class=\"line\" points=\"").last ?? ""
            let corners = line.prefix { $0 != "\"" }.split(separator: " ").count
            #expect(try corners == count("SELECT 2 * count(*) - 1 FROM hypervolume_history"))
        case "genes": #expect(try elements("fill-opacity=") == count("SELECT count(*) FROM genes"))
        default:
            let leases = "SELECT count(*) FROM leases l JOIN tasks t ON t.id = l.task_id WHERE t.generation IS NOT NULL"
            #expect(try elements("<rect class=\"member\"") + elements("<rect class=\"bad\"") == count(leases))
        }
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/rsvg-convert") else { return }
        let png = try coordinator("plot", kind, "--run-dir", folder.path, "-o", folder.file("x.png"))
        #expect(png.status == 0, "\(png.errors)")
        #expect(
            FileManager.default.contents(atPath: folder.file("x.png"))?.starts(with: [0x89, 0x50, 0x4E, 0x47]) == true)
    }

    @Test func plotsThatCannotBeDrawnAreErrors() throws {
        let folder = try finishedRun()
        let sheet = try coordinator("plot", "sheet", "--run-dir", folder.path, "-o", folder.file("x.svg"))
        #expect(sheet.status == 0 || sheet.errors.contains("no images"), "\(sheet.errors)")
        let other = try coordinator("plot", "front", "--run-dir", folder.path, "-o", folder.file("x.pdf"))
        #expect(other.status == 2 && other.errors.contains(".svg"), "\(other.errors)")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "\(ProgramRun.productFolder)/ecad-coordinator")
        process.arguments = ["plot", "front", "--run-dir", folder.path, "-o", folder.file("x.png")]
        process.environment = ["PATH": folder.path]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(
            process.terminationStatus == 1 && text.contains("rsvg-convert") && text.contains("librsvg2-bin"), "\(text)")
    }

    @Test func endedRunHasNoWriteAheadLog() throws {
        let small = try SmallRun(generations: 1)
        #expect(try small.begin(workers: 1).wait() == 0)
        func logs() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: small.runFolder).filter {
                $0.hasPrefix("history.sqlite-")
            }
        }
        #expect(try logs() == [])
        for command in [["status"], ["query", "pareto_front"], ["report", "-o", small.folder.file("again.html")]] {
            #expect(try ProgramRun("ecad-coordinator", command + ["--run-dir", small.runFolder]).wait() == 0)
            #expect(try logs() == [], "\(command)")
        }
    }

    @Test func runEndsWellIfItsReportCannotBeWritten() throws {
        let small = try SmallRun(generations: 1)
        try FileManager.default.createDirectory(
            atPath: "\(small.runFolder)/run.html/full", withIntermediateDirectories: true)
        let run = try small.begin(workers: 1)
        #expect(run.wait() == 0, "\(run.errors)")
        #expect(run.errors.contains("run.html") && run.errors.contains("the report was not written"), "\(run.errors)")
        #expect(try small.count("SELECT count(*) FROM runs WHERE status = 'finished'") == 1)
    }

    @Test(arguments: ["generations", "steady-state"])
    func runKeepsImagesOfItsFrontOnly(mode: String) throws {
        let small = try SmallRun()
        let run = try small.begin(
            workers: 2,
            [
                "--set", "search.mode=\(mode)", "--set", "thumbnails.prompts=2", "--set", "thumbnails.pixels=16",
                "--set", "search.generations=5",
            ])
        #expect(run.wait() == 0, "\(run.errors)")
        // Each member of the front has the images of both prompts, as has the uncached model.
        #expect(
            try small.count(
                """
                SELECT count(*) FROM pareto_front f WHERE (SELECT count(*) FROM thumbnails t
                    JOIN prompts p ON p.id = t.prompt_id WHERE t.candidate_id = f.candidate_id AND p.prompt_index < 2) <> 2
                """) == 0)
        #expect(try small.count("SELECT count(*) FROM thumbnails WHERE candidate_id IS NULL") >= 2)
        // Candidates settled since the last deletion may still have theirs.
        let others = try small.count(
            """
            SELECT count(DISTINCT candidate_id) FROM thumbnails
            WHERE candidate_id NOT IN (SELECT candidate_id FROM pareto_front)
            """)
        #expect(others < 6 && (mode != "generations" || others == 0), "\(others)")
        let evaluations = try small.count("SELECT count(*) FROM evaluations")
        #expect(evaluations > 20)
    }

    @Test func runWithoutThumbnailsHasThoseOfItsContactSheet() throws {
        let small = try SmallRun(generations: 2)
        let run = try small.begin(workers: 1, ["--set", "thumbnails.prompts=0"])
        #expect(run.wait() == 0, "\(run.errors)")
        #expect(try small.count("SELECT count(DISTINCT candidate_id) FROM thumbnails") <= 3)
        let plot = try coordinator(
            "plot", "sheet", "--run-dir", small.runFolder, "-o", small.folder.file("sheet.svg"))
        #expect(plot.status == 0, "\(plot.errors)")
        #expect(
            FileManager.default.contents(atPath: small.folder.file("sheet.svg"))
                == FileManager.default.contents(atPath: "\(small.runFolder)/sheet.svg"))
    }
}
