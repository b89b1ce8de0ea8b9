import ArgumentParser
import CoordinatorService
import ProgramSupport

extension CoordinatorCommand {
    struct Extend: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Goes on with a run for more generations.",
            discussion: "Rules of the section stop, which may have ended the run, no longer count.")

        @Option(help: "The folder of the run.")
        var runDir: String

        @Option(help: "Generations to add to those that are complete.")
        var generations: Int

        @OptionGroup var serving: ServingOptions

        func validate() throws {
            if !(1...100_000).contains(generations) {
                throw ValidationError("--generations \(generations): expected 1 to 100000")
            }
        }

        func run() throws {
            try serving.serve({ try $0.extend(in: runDir, by: generations) }, runFolder: runDir)
        }
    }

    struct Fork: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Copies a run up to a generation into a new folder, and goes on there under other rules.",
            discussion: """
                Keys of the sections search, stop and tasks may change, except tasks.images. What the original evaluated later is not evaluated \
                again.
                """)

        @Option(help: "The folder of the original run, which may be at work.")
        var runDir: String

        @Option(help: "The last generation to keep, from 0, the seeds.")
        var from: Int

        @Option(help: "The folder of the new run; created, and empty of other runs.")
        var into: String

        @Option(name: .customLong("set"), help: "Override a key of the configuration, such as search.population=48.")
        var overrides: [String] = []

        @OptionGroup var serving: ServingOptions

        func validate() throws {
            if from < 0 { throw ValidationError("--from \(from): expected 0 or more") }
        }

        func run() throws {
            try serving.serve(
                { try $0.fork(runDir, from: from, into: into, overrides: overrides) }, runFolder: into)
        }
    }
}
