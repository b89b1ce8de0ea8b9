import TestSupport
import Testing

@testable import History

@Suite struct QueryTests {
    @Test func queryPreservesTypesAndColumnNames() throws {
        let sample = try SampleHistory()
        let result = try sample.history.query(
            "SELECT 1 AS one, 2.5 AS two, 'x' AS three, x'01ff' AS four, NULL AS five, ? AS six, ? AS seven",
            [.text("given"), .blob([9])])
        #expect(result.columns == ["one", "two", "three", "four", "five", "six", "seven"])
        #expect(
            result.rows == [
                [.integer(1), .real(2.5), .text("x"), .blob([1, 255]), .null, .text("given"), .blob([9])]
            ])
    }

    @Test func duplicateColumnNamesKeepBothValues() throws {
        let sample = try SampleHistory()
        #expect(try sample.history.query("SELECT 1 AS a, 2 AS a").rows == [[.integer(1), .integer(2)]])
    }

    @Test(arguments: [
        "DELETE FROM runs", "DELETE FROM runs RETURNING id", "UPDATE runs SET name = 'x'", "DROP TABLE runs",
        "PRAGMA query_only = 0", "PRAGMA user_version = 7", "PRAGMA journal_mode = DELETE", "VACUUM",
        "ATTACH DATABASE ':memory:' AS other", "SELECT 1; DELETE FROM runs", "BEGIN", "", "SELEC 1",
        "SELECT nothing FROM runs",
    ])
    func queryRejectsEverythingButOneReadOnlyStatement(sql: String) throws {
        let sample = try SampleHistory()
        for history in [sample.history, try RunHistory.openReadOnly(in: sample.folder.path)] {
            let error = try #require(throws: HistoryError.self) { try history.query(sql) }
            guard case .query = error else {
                Issue.record("\(error)")
                return
            }
        }
        #expect(try sample.history.runs.snapshot().run.name == "shapes")
        #expect(try sample.integer("PRAGMA user_version") == Int64(Schema.version))
    }

    @Test(arguments: [
        ("SELECT 1; SELECT 2", "one statement at a time"), ("SELECT 1; nonsense", "one statement at a time"),
        ("", "no statement"), ("-- nothing", "no statement"), ("SELECT ?", "parameter"), ("SELECT :name", "parameter"),
        ("DELETE FROM runs", "read-only statement that returns rows"),
    ])
    func queryErrorsSayWhatIsExpected(_ sql: String, _ part: String) throws {
        let sample = try SampleHistory()
        let error = try #require(throws: HistoryError.self) { try sample.history.query(sql) }
        #expect(error.description.contains(part) && !error.description.contains("Database"), "\(error)")
        #expect(try sample.history.query("SELECT 1; -- done\n").rows == [[.integer(1)]])
    }

    @Test func unknownViewErrorListsTheViews() throws {
        let sample = try SampleHistory()
        let error = try #require(throws: HistoryError.self) { try sample.history.query(named: "runs") }
        #expect(error.description.contains("'runs'") && error.description.contains("pareto_front"))
        #expect(RunHistory.namedQueries.allSatisfy { !$0.summary.isEmpty })
    }
}
