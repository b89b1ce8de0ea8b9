import Basics
import Evolution
import Foundation
import History
import Messages
import TestSupport
import Testing

@testable import CoordinatorService

/// Workers measure reuse errors before a search with the preset `default` begins.
@Suite struct ReuseMeasurementTests {
    private func result(
        of assignment: Assignment, in cluster: FakeCluster, _ change: (inout [Float]) -> Void = { _ in }
    ) -> Messages.TaskResult {
        let count = ReuseErrors.count(for: cluster.calibration.context.shape)
        var values = (0..<count).map { Float(1 + $0 % 5) * Float(assignment.items[0].promptIndex + 1) }
        change(&values)
        var result = Messages.TaskResult(of: assignment, seconds: 3) { _, _ in }
        result.reuseErrors = values.littleEndianData
        return result
    }

    /// Delivers reuse errors; true if they were accepted.
    private func deliver(
        _ assignment: Assignment, in cluster: FakeCluster, by name: String, _ change: (inout [Float]) -> Void = { _ in }
    ) throws -> Bool {
        let answers = try cluster.send(.taskResult(result(of: assignment, in: cluster, change)), by: name)
        return answers.contains {
            guard case .acknowledgement(let acknowledgement) = $0 else { return false }
            return acknowledgement.accepted
        }
    }

    private func genomes(_ cluster: FakeCluster) throws -> [QueryValue] {
        try cluster.calibration.history.query("SELECT hex(genome) FROM candidates ORDER BY id").rows.flatMap { $0 }
    }

    @Test func measurementsPrecedeTheSearch() throws {
        let cluster = try FakeCluster(preset: "default")
        #expect(cluster.calibration.isMeasuring && cluster.calibration.expectedCount == 12)
        #expect(try cluster.integer("SELECT count(*) FROM candidates") == 0)
        let tasks = try ["a", "b"].map { try cluster.joinAndRequest($0) }
        for task in tasks { #expect(task.kind == .measureReuse && task.candidates.isEmpty && task.items.count == 1) }
        // Two of three prompts, evenly spread.
        #expect(tasks.map { $0.items[0].promptIndex } == [0, 1])
        try cluster.join("c")
        #expect(try cluster.request("c") == nil)
        #expect(try deliver(tasks[1], in: cluster, by: "b"))
        #expect(cluster.calibration.isMeasuring)
        #expect(try deliver(tasks[0], in: cluster, by: "a"))
        #expect(!cluster.calibration.isMeasuring)
        #expect(
            try cluster.integer("SELECT count(*) FROM reuse_errors WHERE seconds = 3 AND image_equivalents = 3") == 2)
        // The micro model has few schedules of least error; random ones fill up the population.
        #expect(try cluster.integer("SELECT count(*) FROM candidates") == 6)
        #expect(try cluster.integer("SELECT count(*) FROM candidates WHERE origin = 'calibrated'") >= 3)
        let task = try #require(try cluster.request("a"))
        #expect(task.kind == .evaluate && task.candidates.count == 3)
        #expect(try cluster.deliver(task, by: "a") == [true])
    }

    @Test func orderAndRestartDoNotAffectTheSearch() throws {
        let undisturbed = try FakeCluster(preset: "default")
        for name in ["a", "b"] {
            let task = try undisturbed.joinAndRequest(name)
            #expect(try deliver(task, in: undisturbed, by: name))
        }
        let first = try FakeCluster(preset: "default")
        let tasks = try ["a", "b"].map { try first.joinAndRequest($0) }
        #expect(try deliver(tasks[1], in: first, by: "b"))
        let second = try FakeCluster(resuming: first)
        let task = try second.joinAndRequest("c")
        #expect(task.kind == .measureReuse && task.items == tasks[0].items)
        try second.join("d")
        #expect(try second.request("d") == nil, "the stored measurement is not repeated")
        #expect(try deliver(task, in: second, by: "c"))
        #expect(try genomes(second) == genomes(undisturbed))
        #expect(try genomes(second).count == 6)
        // A restart in the middle of the search finds its basis in the history.
        let third = try FakeCluster(resuming: second)
        #expect(!third.calibration.isMeasuring)
        let evaluation = try third.joinAndRequest("a")
        #expect(evaluation.kind == .evaluate)
    }

    @Test func otherWorkersTakeOverFromOneThatLeaves() throws {
        let cluster = try FakeCluster(preset: "default")
        let task = try cluster.joinAndRequest("a")
        try cluster.send(.goodbye(Goodbye()), by: "a")
        let again = try cluster.joinAndRequest("b")
        #expect(again.items == task.items)
        #expect(try deliver(again, in: cluster, by: "b"))
    }

    @Test func malformedReuseErrorsAreRejectedAndEndTheRunInTheEnd() throws {
        let cluster = try FakeCluster(preset: "default")
        let changes: [(inout [Float]) -> Void] = [
            { $0.removeLast() }, { $0[3] = .nan }, { values in values = values.map { _ in 0 } },
        ]
        var task = try cluster.joinAndRequest("w0")
        #expect(try deliver(try cluster.joinAndRequest("good"), in: cluster, by: "good"))
        for (index, change) in changes.dropLast().enumerated() {
            #expect(task.items[0].promptIndex == 0)
            #expect(try !deliver(task, in: cluster, by: "w\(index)", change))
            #expect(try cluster.integer("SELECT count(*) FROM reuse_errors") == 1)
            task = try cluster.joinAndRequest("w\(index + 1)")
        }
        let error = #expect(throws: CoordinatorError.self) {
            try deliver(task, in: cluster, by: "w2", changes[2])
        }
        #expect(
            "\(try #require(error))".contains("\"a red cube\" could not be measured: "), "\(String(describing: error))")
    }

    @Test func forkKeepsItsBasis() throws {
        let nsga2 = try FakeCluster()
        var task = try? nsga2.joinAndRequest("a")
        while let current = task {
            _ = try nsga2.deliver(current, by: "a", score: 20 + Double(current.taskID))
            task = try nsga2.request("a")
        }
        let error = #expect(throws: CoordinatorError.self) {
            _ = try Calibration.fork(
                nsga2.folder.file("run"), from: 0, into: nsga2.folder.file("fork"),
                overrides: ["search.preset=default", "search.generations=4"])
        }
        #expect("\(try #require(error))".contains("the original has measured no reuse errors"))

        let guided = try FakeCluster(preset: "default")
        for name in ["a", "b"] {
            #expect(try deliver(try guided.joinAndRequest(name), in: guided, by: name))
        }
        task = try guided.request("a")
        while let current = task {
            _ = try guided.deliver(current, by: "a", score: 20 + Double(current.taskID))
            task = try guided.request("a")
        }
        let fork = try Calibration.fork(
            guided.folder.file("run"), from: 0, into: guided.folder.file("fork"), overrides: ["search.generations=4"])
        #expect(!fork.isMeasuring)
        #expect(try fork.history.runs.reuseErrors(of: fork.runID).count == 2)
    }
}
