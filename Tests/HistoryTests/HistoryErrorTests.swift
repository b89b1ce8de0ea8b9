import Testing

@testable import History

@Suite struct HistoryErrorTests {
    static let all: [HistoryError] = [
        .missing(file: "F"), .alreadyExists(file: "F"), .notAHistory(file: "F", found: "x"),
        .newerSchema(file: "F", found: 3, supported: 1), .olderSchema(file: "F", found: 1, supported: 3),
        .locked(folder: "F", holder: "pid 1 on h"), .diskFull(file: "F"), .notWritable(file: "F", reason: "x"),
        .notReadable(file: "F", reason: "x"), .networkFileSystem(folder: "F", kind: "NFS"),
        .corrupt(file: "F", reason: "x"),
        .corruptValue(file: "F", table: "tasks", row: 1, column: "kind", found: "x", expected: "evaluate, render"),
        .busy(file: "F"), .sqlite(file: "F", reason: "x"),
    ]

    @Test(arguments: all) func everyMessageIsOneLineAndNamesTheFile(error: HistoryError) {
        #expect(error.description.contains("\n") == false)
        #expect(error.description.contains("F"))
    }
}
