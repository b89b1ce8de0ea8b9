import Basics
import Foundation
import History
import Messages
import Schedules

/// The contact sheet of a run: a few prompts, uncached and with members of the front, rendered by one worker at the end.
struct ContactSheet {
    static let promptCount = 6

    /// Members of the front on the sheet, from slow to fast.
    let members: [FrontRecord]
    /// The request to a worker; candidate 0 is the uncached schedule.
    let assignment: Assignment
    private let images: [ImageKey]

    /// Images times candidates.
    var units: Double { Double(images.count * assignment.candidates.count) }

    init(front: [FrontRecord], context: RunContext) throws {
        members = Self.members(of: front)
        images = (0..<min(Self.promptCount, context.prompts.count)).map { ImageKey(prompt: $0, seed: 0) }
        var assignment = Assignment()
        assignment.kind = .render
        var uncached = AssignedCandidate()
        uncached.genome = Data(Schedule(shape: context.shape).genome.bytes)
        uncached.geneCount = UInt32(context.shape.geneCount)
        assignment.candidates = [uncached]
        for member in members {
            var candidate = uncached
            candidate.candidateID = member.candidateID
            candidate.genome = Data(try context.history.search.candidate(member.candidateID).genome)
            assignment.candidates.append(candidate)
        }
        assignment.items = images.map(PromptSeed.init)
        assignment.returnImages = true
        assignment.imagePixels = UInt32(context.configuration.thumbnailPixels)
        self.assignment = assignment
    }

    /// The members closest to three speed-ups in a geometric progression up to the fastest member, at most 4x.
    ///
    /// Beyond 4x most images are too degraded to compare.
    static func members(of front: [FrontRecord]) -> [FrontRecord] {
        func speedup(_ point: FrontRecord) -> Double { point.speedup ?? 1 / point.cost }
        let fastest = min(front.map(speedup).max() ?? 1, 4)
        var members: [FrontRecord] = []
        for share in [1.0 / 3, 2.0 / 3, 1] {
            let target = log(max(fastest, 1)) * share
            let closest = front.min { abs(log(speedup($0)) - target) < abs(log(speedup($1)) - target) }
            if let closest, !members.contains(closest) { members.append(closest) }
        }
        return members
    }

    /// Whether the history already contains all images, because the run was finished before.
    func isStored(in context: RunContext) throws -> Bool {
        try assignment.candidates.allSatisfy { candidate in
            let id = candidate.candidateID == 0 ? nil : candidate.candidateID
            let stored = try context.history.results.thumbnails(of: id, run: context.runID).map(\.image)
            return Set(images).isSubset(of: stored)
        }
    }

    /// Stores the images of a result as thumbnails; images that were not requested, or are larger, are ignored.
    func store(_ result: Messages.TaskResult, in context: RunContext) throws {
        for image in result.images where image.hasPng {
            let key = ImageKey(prompt: Int(image.promptIndex), seed: image.seed)
            let png = Array(image.png)
            guard images.contains(key), assignment.candidates.contains(where: { $0.candidateID == image.candidateID }),
                context.isThumbnail(png)
            else { continue }
            try context.history.results.storeThumbnail(
                png, of: image.candidateID == 0 ? nil : image.candidateID, image: key,
                run: context.runID)
        }
    }
}

/// An SVG with embedded images: one row per schedule, one column per prompt.
struct ContactSheetDrawing {
    struct Row {
        let title, subtitle: String
        /// PNG data, one image per prompt.
        let images: [[UInt8]]
    }

    let title: String
    let prompts: [String]
    let rows: [Row]

    private static let cell = 128.0, gap = 10.0, label = 176.0, top = 50.0, caption = 78.0

    func svg() -> String {
        let width = Self.label + Double(prompts.count) * (Self.cell + Self.gap) + Self.gap
        let height = Self.top + Self.caption + Double(rows.count) * (Self.cell + Self.gap) + Self.gap
        var lines: [String] = []
        for (column, prompt) in prompts.enumerated() {
            let x = Self.label + Double(column) * (Self.cell + Self.gap)
            for (line, words) in Self.wrapped(prompt, columns: 22, lines: 5).enumerated() {
                lines.append(
                    "<text x=\"\(x)\" y=\"\(Self.top + 12 + Double(line) * 13)\" font-size=\"11\">\(words.xmlEscaped)</text>"
                )
            }
        }
        for (index, row) in rows.enumerated() {
            let y = Self.top + Self.caption + Double(index) * (Self.cell + Self.gap)
            lines.append(
                "<text x=\"10\" y=\"\(y + 58)\" font-size=\"15\" font-weight=\"bold\">\(row.title.xmlEscaped)</text>"
            )
            for (line, words) in Self.wrapped(row.subtitle, columns: 27, lines: 2).enumerated() {
                lines.append(
                    "<text x=\"10\" y=\"\(y + 78 + Double(line) * 15)\" font-size=\"11\">\(words.xmlEscaped)</text>"
                )
            }
            for (column, png) in row.images.enumerated() {
                let x = Self.label + Double(column) * (Self.cell + Self.gap)
                let data = Data(png).base64EncodedString()
                lines.append(
                    "<image x=\"\(x)\" y=\"\(y)\" width=\"\(Self.cell)\" height=\"\(Self.cell)\" href=\"data:image/png;base64,\(data)\"/>"
                )
            }
        }
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" width="\(width)" height="\(height)" font-family="sans-serif">
            <rect width="100%" height="100%" fill="#fff"/>
            <text x="10" y="28" font-size="18" font-weight="bold">\(title.xmlEscaped)</text>
            \(lines.joined(separator: "\n"))
            </svg>

            """
    }

    /// Wraps a text at white space, breaks words that are longer than a line, and truncates with an ellipsis.
    static func wrapped(_ text: String, columns: Int, lines: Int) -> [String] {
        var result: [String] = []
        let words = text.split(whereSeparator: \.isWhitespace).flatMap { word in
            stride(from: 0, to: word.count, by: columns).map { word.dropFirst($0).prefix(columns) }
        }
        for word in words {
            if let last = result.last, last.count + 1 + word.count <= columns {
                result[result.count - 1] = last + " " + word
            } else if result.count < lines {
                result.append(String(word))
            } else {
                result[result.count - 1] += " …"
                break
            }
        }
        return result
    }
}
