import ArgumentParser
import Foundation
import Schedules
import Tensors

struct ScheduleShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Draws a schedule in the terminal or into a picture.",
        discussion: "One panel for each component, steps as columns, blocks as rows. A PNG picture has no text.")

    @Argument(help: "A schedule file.")
    var file: String

    @Option(name: .shortAndLong, help: "A picture to write, ending in .svg or .png.")
    var output: String?

    @Option(help: "The position of the wanted schedule in a compact file, from 0.")
    var entry: Int?

    func validate() throws {
        if let output, !output.hasSuffix(".svg"), !output.hasSuffix(".png") {
            throw ValidationError("--output \(output): expected a name ending in .svg or .png")
        }
    }

    func run() throws {
        let document = try ScheduleDocument(path: file)
        guard let output else {
            let files = try entry.map { [try document.file(entry: $0, path: file)] } ?? document.files
            print(files.map { SchedulePicture($0.schedule).text() }.joined(separator: "\n"), terminator: "")
            return
        }
        let picture = SchedulePicture(try document.file(entry: entry, path: file).schedule)
        if output.hasSuffix(".svg") {
            try picture.writeSVG(to: output)
        } else {
            let pixels = try picture.pixels()
            try Image(width: pixels.width, height: pixels.height, pixels: pixels.values).write(to: output)
        }
    }
}
