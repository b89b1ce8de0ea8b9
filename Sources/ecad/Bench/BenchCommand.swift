import ArgumentParser

extension EcadCommand {
    struct Bench: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measures this machine, the cost model and the search.",
            subcommands: [BenchModel.self, BenchPresets.self, BenchSearch.self])
    }
}
