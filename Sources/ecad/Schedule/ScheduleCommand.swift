import ArgumentParser
import Foundation
import JSON
import ModelConfiguration
import Schedules

struct ScheduleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "schedule", abstract: "Inspect, convert, draw and generate caching schedules.",
        discussion: """
            Schedule files are JSON files as published, or compact files, which can contain a whole front; the format is detected \
            from the content. Output files are compact if their name ends in .ecad.
            """,
        subcommands: [
            ScheduleInfo.self, ScheduleConvert.self, ScheduleMacs.self, ScheduleShow.self, ScheduleGenerate.self,
        ])
}

/// Selects the architecture of a family's published checkpoint or of a model directory.
struct ModelChoice: ParsableArguments {
    @Option(help: "Model family; uses the dimensions of its published checkpoint.")
    var family: ModelFamily?

    @Option(help: "Height and width in pixels, with --family (default: 256).")
    var size: Int?

    @Option(help: "Model directory in the diffusers layout; uses its dimensions and native size.")
    var model: String?

    func validate() throws {
        if (family == nil) == (model == nil) { throw ValidationError("expected either --family or --model") }
        if size != nil, model != nil { throw ValidationError("--size is only allowed with --family") }
        guard let family, let size else { return }
        do {
            _ = try ModelArchitecture(family: family, size: size)
        } catch {
            throw ValidationError("--\(error)")
        }
    }

    /// The architecture, and the configuration to store in schedule files.
    func resolved() throws -> (architecture: ModelArchitecture, configuration: JSONObject) {
        if let model {
            let description = try ModelDescription(modelFolder: model)
            return (
                description.architecture,
                ["height": JSONValue(description.height), "width": JSONValue(description.width)]
            )
        }
        guard let family else { throw ValidationError("expected either --family or --model") }
        return (try ModelArchitecture(family: family, size: size ?? 256), family.configuration(size: size ?? 256))
    }
}

extension ModelFamily: ExpressibleByArgument {}
