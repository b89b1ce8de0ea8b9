import ArgumentParser
import Basics
import Foundation
import Glibc
import ProgramSupport
import Prompts
import Scoring
import Tensors

extension EcadCommand {
    struct Score: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Score a directory of images.",
            discussion: """
                Scorers:
                  psnr, ssim         similarity to the same-named --reference image
                  DIRECTORY          Image Reward or CLIP: agreement with the prompt
                                     Inception-v3: Frechet distance to --reference
                  frechet:DIRECTORY  Frechet distance on features of the network

                scripts/convert_scorers.py creates these directories from published weights.

                Images are PNG and JPEG files in the directory itself. What their names say decides which prompt they were \
                generated from: the identifier of the prompt or (COCO) of its image, the number of the prompt from 0 or from 1 if \
                every prompt has an image, or, without either, their natural order. Several images of a prompt need a seed at the \
                end of their names (00012_seed3.png, 000__prompt_seed:000__image_seed:003.png). The rule is printed; --pair-by sets \
                it where the names are ambiguous or some images are missing: index (from 0), number (from 1), id, image-id, order.

                Reference images of psnr and ssim have the names of the images, apart from the extension.

                Images that cannot be read or scored are reported and skipped, and the exit status is 1.
                """)

        @Option(
            name: .customLong("scorer"),
            help: "psnr, ssim, a scorer's model directory, or frechet:DIRECTORY. Repeatable.")
        var scorers: [String]

        @Option(help: "Directory of images.")
        var images: String

        @Option(help: "Prompt file: one prompt per line, or a published set; for Image Reward and CLIP.")
        var prompts: String?

        @OptionGroup var promptsFormat: PromptsFormatOption

        @Option(help: "How names pair images with prompts (default: by what they say).")
        var pairBy: PairingRule?

        @Option(help: "Directory of reference images; for psnr, ssim and the Frechet distance.")
        var reference: String?

        @Option(help: "Write the score of every image to a file (.csv).")
        var scores: String?

        @Option(help: "Number of CPU threads (default: the processors of the affinity mask, within the CPU quota).")
        var threads: Int?

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            if let threads, !(1...1024).contains(threads) {
                throw ValidationError("--threads \(threads): expected 1 to 1024")
            }
            if pairBy != nil, prompts == nil { throw ValidationError("--pair-by needs --prompts") }
            try promptsFormat.require(prompts)
            if scorers.isEmpty { throw ValidationError("expected --scorer") }
        }

        func run() throws {
            BLAS.setThreadCount(threads ?? CPU.availableCount)
            let requests = try scorers.map(request)
            try checkOptions(requests)
            let scoring = try FolderScoring(
                images: images, reference: reference, prompts: try prompts.map { try promptsFormat.read($0) },
                rule: pairBy, requests: requests)
            for note in scoring.notes { Program.printError(note) }
            var progress = ScoreProgress(total: scoring.stepCount)
            var table = try scores.map(ScoreFile.init)
            let report = try scoring.run(
                progress: { progress.show($0) },
                failed: { progress.interrupt("\($0.file): skipped: \($0.reason)") }, scored: { try table?.add($0) })
            progress.end()
            try table?.finish()
            json ? print(try encoded(report)) : Program.printText(text(report))
            guard report.failures.isEmpty else {
                Program.printError(
                    "\(Self.plural(report.failures.count, "failure")), listed above; those images were skipped")
                throw ExitCode(1)
            }
        }

        /// Rejects options that none of the scorers uses.
        private func checkOptions(_ requests: [FolderScoring.Request]) throws {
            if let repeated = requests.indices.first(where: { requests[..<$0].contains(requests[$0]) }) {
                throw ValidationError("--scorer \(scorers[repeated]): given twice")
            }
            let usesReference = requests.contains { request in
                guard case .scorer(let source) = request else { return true }
                return ScorerKind.paired.contains(source.kind)
            }
            if reference != nil, !usesReference {
                throw ValidationError("--reference is only allowed with the scorers psnr, ssim and frechet")
            }
            let hasScores = requests.contains { if case .scorer = $0 { true } else { false } }
            if prompts != nil, !hasScores {
                throw ValidationError(
                    "--prompts is only allowed with scorers of single images; a distance has no prompts")
            }
            guard let scores else { return }
            if !hasScores {
                throw ValidationError("--scores is only allowed with scorers of single images; a distance has no rows")
            }
            try OutputPath.checkFile("--scores", scores, endings: [".csv"], inputs: prompts.map { [$0] } ?? [])
        }

        private func request(_ text: String) throws -> FolderScoring.Request {
            if text.hasPrefix("frechet:") { return .frechet(folder: String(text.dropFirst("frechet:".count))) }
            if let kind = ScorerKind(rawValue: text), kind == .psnr || kind == .ssim {
                return .scorer(ScorerSource(kind))
            }
            if let source = ScorerSource(folder: text) { return .scorer(source) }
            guard FileManager.default.fileExists(atPath: "\(text)/config.json") else {
                throw ValidationError(
                    "--scorer \(text): expected psnr, ssim, frechet:DIRECTORY, or a scorer's model directory with a config.json"
                )
            }
            return .frechet(folder: text)
        }

        private func encoded(_ report: FolderScoring.Report) throws -> String {
            let encoder = JSONEncoder()
            encoder.keyEncodingStrategy = .convertToSnakeCase
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(report), as: UTF8.self)
        }

        private func text(_ report: FolderScoring.Report) -> String {
            var lines: [String] = []
            if !report.scores.isEmpty {
                var rows = [["scorer", "images", "mean", "std. error", "p5", "worst", "worst image"]]
                rows += report.scores.map { row in
                    let error = row.standardError.map { String(format: "%.4f", $0) } ?? "-"
                    return [
                        row.scorer, "\(row.images)", String(format: "%.4f", row.mean), error,
                        String(format: "%.4f", row.p5), String(format: "%.4f", row.worst),
                        row.worstImage + (row.worstPrompt.map { "  \"\($0.prefix(60))\"" } ?? ""),
                    ]
                }
                let isNumeric = rows[0].indices.map { (1..<rows[0].count - 1).contains($0) }
                lines += alignedTable(rows, isNumeric: isNumeric).split(separator: "\n").map(String.init)
            }
            lines += report.distances.map { row in
                "Frechet distance (\(row.features)): \(String(format: "%.4f", row.distance)), "
                    + "\(Self.plural(row.images, "image")) against \(Self.plural(row.referenceImages, "reference image"))"
            }
            return lines.joined(separator: "\n")
        }

        private static func plural(_ count: Int, _ noun: String) -> String {
            "\(count) \(noun)\(count == 1 ? "" : "s")"
        }
    }
}

extension PairingRule: ExpressibleByArgument {}

/// A CSV file of scores, written incrementally.
private struct ScoreFile {
    private static let flushBytes = 1 << 16
    private let path: String
    private let handle: FileHandle
    private var pending = "image,scorer,score,prompt\n"

    init(path: String) throws {
        self.path = path
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let handle = FileHandle(forWritingAtPath: path)
        else { throw TensorsError.unwritable(file: path, reason: "the file cannot be created") }
        self.handle = handle
    }

    mutating func add(_ score: FolderScoring.Score) throws {
        pending += "\(score.image.csvField),\(score.scorer),\(score.value),\(score.prompt.csvField)\n"
        if pending.utf8.count > Self.flushBytes { try finish() }
    }

    mutating func finish() throws {
        do {
            try handle.write(contentsOf: Data(pending.utf8))
        } catch {
            throw TensorsError.unwritable(file: path, reason: "the disk may be full")
        }
        pending = ""
    }
}

/// A progress bar on a terminal; otherwise a line on standard error every 30 seconds.
struct ScoreProgress {
    private static let barWidth = 24
    private let total: Int
    private let isTerminal = isatty(2) == 1
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var shownAt: ContinuousClock.Instant
    private var done = 0
    private var isBarShown = false
    /// Progress of the last minute, for the current rate.
    private var samples: [(at: ContinuousClock.Instant, done: Int)]

    init(total: Int) {
        self.total = total
        start = clock.now
        shownAt = start
        samples = [(start, 0)]
    }

    /// Updates the number of completed steps; redraws at most five times a second.
    mutating func show(_ done: Int) {
        self.done = done
        let now = clock.now
        guard now - shownAt > (isTerminal ? .milliseconds(200) : .seconds(30)) else { return }
        shownAt = now
        samples.append((now, done))
        while samples.count > 2, now - samples[1].at > .seconds(60) { samples.removeFirst() }
        draw(now)
    }

    /// Prints a line above the bar.
    mutating func interrupt(_ line: String) {
        clear()
        Program.printError(line)
    }

    /// Clears the bar.
    mutating func end() { clear() }

    private mutating func clear() {
        if isBarShown { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
        isBarShown = false
    }

    private mutating func draw(_ now: ContinuousClock.Instant) {
        let first = samples[0]
        let seconds = (now - first.at) / .seconds(1)
        let speed = seconds > 0 ? Double(done - first.done) / seconds : 0
        let left = speed > 0 ? durationText(seconds: Double(total - done) / speed) : "--"
        let numbers = "\(done)/\(total) images, \(String(format: "%.1f", speed))/s, \(left) left"
        guard isTerminal else { return Program.printError(numbers) }
        let filled = Self.barWidth * done / max(total, 1)
        let bar = String(repeating: "=", count: filled).rightPadded(to: Self.barWidth)
        FileHandle.standardError.write(Data("\r[\(bar)] \(numbers)\u{1B}[K".utf8))
        isBarShown = true
    }
}
