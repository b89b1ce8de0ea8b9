import Basics
import Foundation
import History

/// A picture of a run as a file: SVG, or PNG by way of librsvg's `rsvg-convert`.
public struct RunPlot {
    /// What a picture shows.
    public enum Kind: String, Sendable, CaseIterable {
        /// Quality against speed-up.
        case front
        /// Hypervolume against evaluated candidates.
        case hypervolume
        /// What the front recomputes.
        case genes
        /// The leases of each worker over time.
        case workers
        /// The same prompts, uncached and under schedules of the front.
        case sheet
    }

    /// The endings of names by which the format is chosen.
    public static let endings = [".svg", ".png"]

    private let pictures: RunPictures
    private let folder: String

    /// Opens the history of a run directory; the coordinator may be running.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError``.
    public init(folder: String) throws {
        let history = try RunHistory.openReadOnly(in: folder)
        let run = try history.runs.snapshot().run
        pictures = RunPictures(
            history: history, runID: run.id,
            configuration: try RunConfiguration(text: run.configuration, file: history.file, folder: folder),
            prompts: try history.runs.prompts(of: run.id), front: try history.search.front(of: run.id))
        self.folder = folder
    }

    /// Draws a picture as SVG.
    ///
    /// - Throws: `HistoryError`; ``CoordinatorError/runDirectory(path:reason:)`` if the run has nothing to draw yet.
    public func svg(_ kind: Kind) throws -> String {
        func require(_ hasData: Bool, _ missing: String) throws {
            guard hasData else { throw CoordinatorError.runDirectory(path: folder, reason: "no \(missing) yet") }
        }
        switch kind {
        case .front:
            try require(!pictures.front.isEmpty, "evaluated candidates")
            return try pictures.frontPlot().svg()
        case .hypervolume:
            let plot = try pictures.hypervolumePlot()
            try require(!plot.points.isEmpty, "finished generation")
            return plot.svg()
        case .genes:
            try require(!pictures.front.isEmpty, "evaluated candidates")
            return try pictures.genesPlot().svg()
        case .workers:
            let plot = try pictures.workersPlot()
            try require(!plot.leases.isEmpty, "leases")
            return plot.svg()
        case .sheet:
            let shown = try pictures.history.query("SELECT DISTINCT candidate_id FROM thumbnails").rows.map { $0[0] }
            let members = pictures.front.filter { shown.contains(.integer($0.candidateID)) }
            try require(!members.isEmpty, "images of the front")
            return try pictures.contactSheet(ContactSheet.members(of: members)).svg()
        }
    }

    /// Writes a picture; the ending of the path decides the format.
    ///
    /// - Throws: As ``svg(_:)``, `FileError`; ``CoordinatorError/runDirectory(path:reason:)`` if a PNG cannot be made.
    public func write(_ kind: Kind, to path: String) throws {
        let svg = try svg(kind)
        guard path.lowercased().hasSuffix(".png") else { return try FileContents.write(svg, to: path) }
        try FileContents.write([Self.png(svg, for: path)], to: path)
    }

    private static func png(_ svg: String, for path: String) throws -> [UInt8] {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        guard
            let program = folders.map({ "\($0)/rsvg-convert" }).first(where: {
                FileManager.default.isExecutableFile(atPath: $0)
            })
        else {
            throw CoordinatorError.runDirectory(
                path: path,
                reason:
                    "PNG needs rsvg-convert, which is not on the PATH; install librsvg2-bin, or write an .svg file")
        }
        let source = FileManager.default.temporaryDirectory.appendingPathComponent("ecad-\(UUID().uuidString).svg").path
        defer { try? FileManager.default.removeItem(atPath: source) }
        try FileContents.write(svg, to: source)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["--format", "png", "--zoom", "2", source]
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        let png = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0, !png.isEmpty else {
            let line = String(decoding: complaint, as: UTF8.self).split(separator: "\n").first.map(String.init)
            throw CoordinatorError.runDirectory(
                path: path, reason: "rsvg-convert failed: \(line ?? "exit status \(process.terminationStatus)")")
        }
        return Array(png)
    }
}
