import Foundation
import GRDB
import TestSupport
import Testing

@testable import History

@Suite struct RunHistoryTests {
    @Test func connectionWaitsForTheDiskOnEveryCommit() throws {
        let sample = try SampleHistory()
        try sample.history.database.read { db throws in
            #expect(try Int.fetchOne(db, sql: "PRAGMA synchronous") == 2)
            #expect(try String.fetchOne(db, sql: "PRAGMA journal_mode") == "wal")
            #expect(try Int.fetchOne(db, sql: "PRAGMA journal_size_limit") == 67_108_864)
            #expect(try Int.fetchOne(db, sql: "PRAGMA foreign_keys") == 1)
        }
    }

    @Test func createRejectsAnExistingHistoryAndOpenAcceptsIt() throws {
        let folder = try TemporaryFolder()
        let nested = folder.file("runs/first")
        try RunHistory.create(in: nested).close()
        #expect(throws: HistoryError.alreadyExists(file: nested + "/history.sqlite")) {
            try RunHistory.create(in: nested)
        }
        let opened = try RunHistory.open(in: nested)
        #expect(opened.isWritable)
        try opened.close()
        #expect(FileManager.default.fileExists(atPath: nested + "/history.sqlite-wal") == false)
    }

    /// Names in a run directory; the log and its index are left out of none.
    private func names(in folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }

    @Test func readersOfAClosedHistoryLeaveNoLog() throws {
        let sample = try SampleHistory()
        try sample.history.close()
        #expect(try names(in: sample.folder) == ["coordinator.lock", "history.sqlite"])
        do {
            let first = try RunHistory.openReadOnly(in: sample.folder.path)
            let second = try RunHistory.openReadOnly(in: sample.folder.path)
            #expect(try first.tasks.pending(of: sample.run).count == 2)
            #expect(try second.tasks.pending(of: sample.run).count == 2)
            try first.close()
            // Another one still reads.
            #expect(try second.tasks.pending(of: sample.run).count == 2)
        }
        #expect(try names(in: sample.folder) == ["coordinator.lock", "history.sqlite"])
    }

    @Test func lastReaderRemovesTheLogOfAClosedHistory() throws {
        let sample = try SampleHistory()
        do {
            let reader = try RunHistory.openReadOnly(in: sample.folder.path)
            #expect(try reader.tasks.pending(of: sample.run).count == 2)
            _ = try sample.history.results.commit(sample.result(0))
            try sample.history.close()
            #expect(reader.walBytes == 0, "written back although a reader is connected")
            #expect(try reader.tasks.pending(of: sample.run).count == 1)
        }
        #expect(try names(in: sample.folder) == ["coordinator.lock", "history.sqlite"])
    }

    @Test func readersLeaveTheLogOfACoordinator() throws {
        let sample = try SampleHistory()
        do { _ = try RunHistory.openReadOnly(in: sample.folder.path).tasks.pending(of: sample.run) }
        #expect(sample.history.walBytes > 0)
        #expect(try sample.history.checkpoint())
        do { _ = try RunHistory.openReadOnly(in: sample.folder.path).tasks.pending(of: sample.run) }
        #expect(
            try names(in: sample.folder) == [
                "coordinator.lock", "history.sqlite", "history.sqlite-shm", "history.sqlite-wal",
            ])
        #expect(try sample.history.results.commit(sample.result(0)) == .committed)
        #expect(try RunHistory.openReadOnly(in: sample.folder.path).tasks.pending(of: sample.run).count == 1)
    }

    @Test func openingAMissingHistoryNamesTheFile() throws {
        let folder = try TemporaryFolder()
        let missing = HistoryError.missing(file: folder.file("history.sqlite"))
        #expect(throws: missing) { try RunHistory.open(in: folder.path) }
        #expect(throws: missing) { try RunHistory.openReadOnly(in: folder.path) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    }

    @Test func secondCoordinatorIsRejectedWithTheLockHolder() throws {
        let folder = try TemporaryFolder()
        let first = try RunHistory.create(in: folder.path)
        let error = try #require(throws: HistoryError.self) { try RunHistory.open(in: folder.path) }
        guard case .locked(folder.path, let holder) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(holder.hasPrefix("pid \(getpid()) on "))
        try first.close()
        try RunHistory.open(in: folder.path).close()
    }

    @Test func readerSeesCommitsOfTheCoordinator() throws {
        let sample = try SampleHistory()
        let reader = try RunHistory.openReadOnly(in: sample.folder.path)
        #expect(try reader.tasks.pending(of: sample.run).count == 2)
        _ = try sample.history.results.commit(sample.result(0))
        #expect(try reader.tasks.pending(of: sample.run).map(\.id) == [sample.work.taskIDs[1]])
    }

    @Test func readerCannotWrite() throws {
        let sample = try SampleHistory()
        let reader = try RunHistory.openReadOnly(in: sample.folder.path)
        let error = try #require(throws: HistoryError.self) { try reader.events.record("note", "text") }
        #expect(error == .notWritable(file: reader.file, reason: "it is opened read-only"))
    }

    @Test(arguments: [false, true]) func newerSchemaIsRejectedAndTheFileUnchanged(hasLog: Bool) throws {
        let folder = try TemporaryFolder()
        let writer = try RunHistory.create(in: folder.path)
        try writer.database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA user_version = 99") }
        let copy = try TemporaryFolder()
        // Copied while open, the version is only in the log; after closing it is in the file and there is no log.
        if hasLog == false { try writer.close() }
        for name in try FileManager.default.contentsOfDirectory(atPath: folder.path) where name.hasPrefix("history") {
            guard hasLog == false || name != "history.sqlite-shm" else { continue }
            try FileManager.default.copyItem(atPath: folder.file(name), toPath: copy.file(name))
        }
        func bytes() throws -> [String: Data] {
            let names = ["history.sqlite", "history.sqlite-wal"].filter {
                FileManager.default.fileExists(atPath: copy.file($0))
            }
            return try Dictionary(
                uniqueKeysWithValues: names.map {
                    ($0, try Data(contentsOf: URL(fileURLWithPath: copy.file($0))))
                })
        }
        let before = try bytes()
        #expect(before.count == (hasLog ? 2 : 1))
        let newer = HistoryError.newerSchema(file: copy.file("history.sqlite"), found: 99, supported: Schema.version)
        #expect(throws: newer) { try RunHistory.open(in: copy.path) }
        #expect(throws: newer) { try RunHistory.openReadOnly(in: copy.path) }
        #expect(try bytes() == before)
        #expect(newer.description.contains("99") && newer.description.contains(copy.file("history.sqlite")))
    }

    @Test func otherFilesAreRejected() throws {
        let text = try TemporaryFolder()
        try Data(
            "not a database, but long enough to hold a header if it were one of SQLite's, which it is not at all".utf8
        )
        .write(to: URL(fileURLWithPath: text.file("history.sqlite")))
        #expect(
            throws: HistoryError.notAHistory(file: text.file("history.sqlite"), found: "not a SQLite database")
        ) { try RunHistory.open(in: text.path) }

        let foreign = try TemporaryFolder()
        try DatabaseQueue(path: foreign.file("history.sqlite")).write { try $0.execute(sql: "CREATE TABLE t (x)") }
        let error = try #require(throws: HistoryError.self) { try RunHistory.openReadOnly(in: foreign.path) }
        #expect(error.description.contains("application_id 0, expected 1162035524"))
        #expect(throws: HistoryError.self) { try RunHistory.create(in: foreign.path) }
    }

    @Test func interruptedCreationCanBeRepeated() throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(fileURLWithPath: folder.file("history.sqlite")))
        #expect(throws: HistoryError.self) { try RunHistory.open(in: folder.path) }
        #expect(throws: HistoryError.self) { try RunHistory.openReadOnly(in: folder.path) }
        try RunHistory.create(in: folder.path).close()
    }

    @Test func damagedPagesAreReported() throws {
        let sample = try SampleHistory()
        try sample.history.close()
        let file = FileHandle(forUpdatingAtPath: sample.folder.file("history.sqlite"))
        for page in 1..<60 {
            try file?.seek(toOffset: UInt64(page) * 4096)
            try file?.write(contentsOf: Data(repeating: 0xA5, count: 64))
        }
        try file?.close()
        let error = try #require(throws: HistoryError.self) {
            try RunHistory.openReadOnly(in: sample.folder.path).runs.snapshot()
        }
        guard case .corrupt(sample.folder.file("history.sqlite"), _) = error else {
            Issue.record("\(error)")
            return
        }
    }

    @Test func folderThatCannotBeCreatedIsNamed() throws {
        let folder = try TemporaryFolder()
        try Data().write(to: URL(fileURLWithPath: folder.file("file")))
        let error = try #require(throws: HistoryError.self) { try RunHistory.create(in: folder.file("file/run")) }
        #expect(
            error
                == .notWritable(
                    file: folder.file("file/run"), reason: "the directory cannot be created: Not a directory"))
        #expect(throws: HistoryError.notReadable(file: folder.file("file/history.sqlite"), reason: "Not a directory")) {
            try RunHistory.openReadOnly(in: folder.file("file"))
        }
    }

    @Test(.enabled(if: geteuid() != 0, "root writes everywhere"))
    func archiveWithoutWritePermissionIsReadable() throws {
        let sample = try SampleHistory()
        try sample.history.close()
        chmod(sample.folder.file("coordinator.lock"), 0o444)
        chmod(sample.folder.file("history.sqlite"), 0o444)
        chmod(sample.folder.path, 0o555)
        defer { chmod(sample.folder.path, 0o755) }
        let before = try FileManager.default.contentsOfDirectory(atPath: sample.folder.path)
        let reader = try RunHistory.openReadOnly(in: sample.folder.path)
        #expect(try reader.runs.snapshot().run.id == sample.run)
        #expect(try FileManager.default.contentsOfDirectory(atPath: sample.folder.path) == before)
        let lock = sample.folder.file("coordinator.lock")
        #expect(throws: HistoryError.notWritable(file: lock, reason: "Permission denied")) {
            try RunHistory.open(in: sample.folder.path)
        }
    }

    @Test(.enabled(if: geteuid() != 0, "root writes everywhere"))
    func interruptedRunWithoutWritePermissionReportsTheRemedy() throws {
        let sample = try SampleHistory()
        let copy = try TemporaryFolder()
        for name in ["history.sqlite", "history.sqlite-wal"] {
            try FileManager.default.copyItem(atPath: sample.folder.file(name), toPath: copy.file(name))
        }
        chmod(copy.path, 0o555)
        defer { chmod(copy.path, 0o755) }
        let error = try #require(throws: HistoryError.self) { try RunHistory.openReadOnly(in: copy.path) }
        #expect(error.description.contains("copy the directory"))
    }

    @Test func fullDiskIsReportedAndTheTransactionUndone() throws {
        let sample = try SampleHistory()
        let pages = try #require(try sample.integer("PRAGMA page_count"))
        func limit(_ count: Int64) throws {
            _ = try sample.history.database.writeWithoutTransaction {
                try Int.fetchOne($0, sql: "PRAGMA max_page_count = \(count)")
            }
        }
        try limit(pages)
        let big = (2..<2000).map { sampleCandidate($0 + 1) }
        #expect(throws: HistoryError.diskFull(file: sample.history.file)) {
            try sample.history.search.beginGeneration(1, of: sample.run, searchState: [1], candidates: big, tasks: [])
        }
        #expect(try sample.integer("SELECT count(*) FROM candidates") == 2)
        #expect(try sample.history.runs.snapshot().generation?.number == 0)
        try limit(1_000_000)
        _ = try sample.history.search.beginGeneration(1, of: sample.run, searchState: [1], candidates: big, tasks: [])
        #expect(try sample.integer("SELECT count(*) FROM candidates") == 2000)
    }

    @Test func transactionIsUndoneAsAWhole() throws {
        let sample = try SampleHistory()
        #expect(throws: CancellationError.self) {
            try sample.history.transaction {
                _ = try sample.history.results.commit(sample.result(0))
                #expect(try sample.history.tasks.task(sample.work.taskIDs[0]).state == .done)
                throw CancellationError()
            }
        }
        #expect(try sample.history.tasks.task(sample.work.taskIDs[0]).state == .pending)
    }

    @Test func failedWriteInATransactionIsUndoneAlone() throws {
        let sample = try SampleHistory()
        try sample.history.transaction {
            _ = try sample.history.results.commit(sample.result(0))
            #expect(throws: HistoryError.self) { try sample.history.results.commit(sample.result(1, value: .nan)) }
            #expect(try !sample.history.checkpoint())
        }
        #expect(try sample.history.runs.snapshot().tasks.map(\.state) == [.done, .pending])
        #expect(try sample.integer("SELECT count(*) FROM image_timings") == 2)
    }
}
