import Foundation
import TestSupport
import Testing

@testable import History

/// A killed process leaves the database and its log as they are at that instant: copies of both, opened, are that
/// state.
@Suite struct CrashTests {
    @Test func everyStateBetweenTransactionsCanBeResumed() throws {
        let sample = try SampleHistory()
        let history = sample.history

        let afterAsk = try crashCopy(of: sample.folder)
        let lease = try history.tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 200, at: 102)
        let afterLease = try crashCopy(of: sample.folder)
        _ = try history.results.commit(sample.result(0), at: 103)
        let afterResult = try crashCopy(of: sample.folder)
        _ = try history.results.commit(sample.result(1), at: 104)
        for candidate in sample.work.candidateIDs {
            try history.search.recordEvaluation(of: candidate, totals: totals(cost: 0.5, quality: 1), at: 105)
        }
        try history.search.completeGeneration(
            0, of: sample.run, searchState: Array("told".utf8), hypervolume: 0.5, wallSeconds: 4, at: 106)
        let afterTell = try crashCopy(of: sample.folder)

        try resumed(afterAsk) { history throws in
            let run = try history.runs.snapshot()
            #expect(run.generation?.searchState == Array("asked".utf8))
            #expect(run.tasks.map(\.state) == [.pending, .pending])
            #expect(run.openLeases.isEmpty)
        }
        try resumed(afterLease) { history throws in
            let run = try history.runs.snapshot()
            #expect(run.tasks.map(\.state) == [.leased, .pending])
            #expect(run.openLeases.map(\.key) == [lease])
            #expect(try history.results.commit(sample.result(0)) == .committed)
        }
        try resumed(afterResult) { history throws in
            #expect(try history.runs.snapshot().tasks.map(\.state) == [.done, .pending])
            #expect(try history.results.measurements(of: sample.work.candidateIDs[0]).scores.count == 2)
            #expect(try history.results.commit(sample.result(0)) == .alreadyDone)
        }
        try resumed(afterTell) { history throws in
            let run = try history.runs.snapshot()
            #expect(run.generation?.searchState == Array("told".utf8))
            #expect(run.generation?.isFinished == true)
            #expect(run.candidates.compactMap(\.evaluation).count == 2)
        }
    }

    @Test func tornLastTransactionLeavesNoTrace() throws {
        let sample = try SampleHistory()
        let complete = sample.history.walBytes
        _ = try sample.history.results.commit(sample.result(0))
        let folder = try crashCopy(of: sample.folder)
        // Cut inside the frames of the last commit, as a power failure may.
        #expect(truncate(folder.file("history.sqlite-wal"), (complete + sample.history.walBytes) / 2) == 0)
        try resumed(folder) { history throws in
            #expect(try history.runs.snapshot().tasks.map(\.state) == [.pending, .pending])
            #expect(try history.results.measurements(of: sample.work.candidateIDs[0]).scores.isEmpty)
            #expect(try history.query("PRAGMA integrity_check").rows == [[.text("ok")]])
            #expect(try history.results.commit(sample.result(0)) == .committed)
        }
    }

    private func crashCopy(of folder: TemporaryFolder) throws -> TemporaryFolder {
        let copy = try TemporaryFolder()
        for name in ["history.sqlite", "history.sqlite-wal"] {
            try FileManager.default.copyItem(atPath: folder.file(name), toPath: copy.file(name))
        }
        return copy
    }

    private func resumed(_ folder: TemporaryFolder, _ body: (RunHistory) throws -> Void) throws {
        let history = try RunHistory.open(in: folder.path)
        try body(history)
        try history.close()
    }
}
