import ArgumentParser
import Foundation
import JSON
import ModelConfiguration
import Schedules

struct ScheduleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule", abstract: "Reads, converts, counts, draws and makes caching schedules.",
        discussion: """
            Files are the published JSON ones or compact ones, which hold a whole front; which of the two is told by the content. \
            Written files are compact when their name ends in .ecad.
            """,
        subcommands: [
            ScheduleInfo.self, ScheduleConvert.self, ScheduleMacs.self, ScheduleShow.self, ScheduleGenerate.self,
        ])
}

/// The transformer that schedules are for: a family's published one or a model directory's.
struct ModelChoice: ParsableArguments {
    @Option(help: "A family, for the dimensions of its published checkpoint.")
    var family: ModelFamily?

    @Option(help: "Edge of the square image in pixels, with --family (default: 256).")
    var size: Int?

    @Option(help: "A model directory in the diffusers layout, for its own dimensions at its native size.")
    var model: String?

    func validate() throws {
        if (family == nil) == (model == nil) { throw ValidationError("give either --family or --model") }
        if size != nil, model != nil { throw ValidationError("--size goes with --family") }
        guard let family, let size else { return }
        do {
            _ = try ModelArchitecture(family: family, size: size)
        } catch {
            throw ValidationError("--\(error)")
        }
    }

    /// The dimensions, and the run configuration of files made for them.
    func resolved() throws -> (architecture: ModelArchitecture, configuration: JSONObject) {
        if let model {
            let description = try ModelDescription(modelFolder: model)
            return (
                description.architecture,
                ["height": JSONValue(description.height), "width": JSONValue(description.width)]
            )
        }
        guard let family else { throw ValidationError("give either --family or --model") }
        return (try ModelArchitecture(family: family, size: size ?? 256), family.configuration(size: size ?? 256))
    }
}

extension ModelFamily: ExpressibleByArgument {}
