import Foundation
import TestSupport
import Testing

@testable import History

/// cluster/history.md: the reference is that of the schema, and the recipes give the right answers on a finished run.
@Suite struct RecipeTests {
    private static let fixtures = "\(Fixtures.folder)/recipes"

    private struct Recipe {
        let number, sql: String
    }

    private func guide() throws -> String {
        try String(contentsOfFile: "\(Fixtures.checkout)/cluster/history.md", encoding: .utf8)
    }

    /// The headings with a number, and the statement after each.
    private func recipes() throws -> [Recipe] {
        try guide().components(separatedBy: "\n### ").dropFirst().compactMap { section in
            let parts = section.components(separatedBy: "```sql\n")
            guard parts.count == 2, let number = Int(section.prefix { $0 != "." }) else { return nil }
            return Recipe(number: "\(number)", sql: parts[1].components(separatedBy: "```")[0])
        }
    }

    @Test func referenceIsCurrent() throws {
        let parts = try guide().components(separatedBy: "<!-- schema: begin -->\n")
        let reference = try #require(parts.last?.components(separatedBy: "<!-- schema: end -->").first)
        #expect(parts.count == 2)
        #expect(
            reference == (try SchemaGuide.markdown()),
            "replace the reference in cluster/history.md with the output of ecad-coordinator history-schema")
    }

    @Test func diagramHasEveryForeignKey() throws {
        let folder = try TemporaryFolder()
        let history = try RunHistory.create(in: folder.path)
        let count = try history.query(
            """
            SELECT count(*) FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) k
            WHERE m.type = 'table' AND k.seq = 0
            """
        ).rows[0][0]
        let relations = try SchemaGuide.markdown().split(separator: "\n").filter { $0.contains("--o{") }
        #expect(count == .integer(Int64(relations.count)) && relations.count > 20)
    }

    @Test func everyRecipeGivesTheCheckedAnswer() throws {
        let data = try #require(FileManager.default.contents(atPath: "\(Self.fixtures)/answers.json"))
        let answers = try #require(try JSONSerialization.jsonObject(with: data) as? [String: [[Any]]])
        let recipes = try recipes()
        #expect(recipes.count >= 20)
        #expect(Set(recipes.map(\.number)) == Set(answers.keys))
        for file in ["history", "guided"] {
            let folder = try TemporaryFolder()
            try FileManager.default.copyItem(
                atPath: "\(Self.fixtures)/\(file).sqlite", toPath: folder.file("history.sqlite"))
            // Recipes about the error model need a run that has one.
            let recipes = recipes.filter { $0.sql.contains("error_model") == (file == "guided") }
            #expect(!recipes.isEmpty)
            try check(answers, of: recipes, in: folder)
        }
    }

    private func check(_ answers: [String: [[Any]]], of recipes: [Recipe], in folder: TemporaryFolder) throws {
        for history in [try RunHistory.openReadOnly(in: folder.path), try RunHistory.open(in: folder.path)] {
            for recipe in recipes {
                let rows = try history.query(recipe.sql).rows
                let expected = try #require(answers[recipe.number])
                #expect(
                    !rows.isEmpty && rows.count == expected.count && zip(rows, expected).allSatisfy(Self.equal),
                    "recipe \(recipe.number): \(rows)")
            }
        }
    }

    /// Equal but for the order of additions.
    private static func equal(_ row: [QueryValue], _ expected: [Any]) -> Bool {
        row.count == expected.count
            && zip(row, expected).allSatisfy { value, expected in
                switch value {
                case .null: expected is NSNull
                case .integer(let number): (expected as? NSNumber)?.int64Value == number
                case .real(let number):
                    (expected as? NSNumber).map { abs($0.doubleValue - number) <= 1e-9 * max(abs(number), 1e-3) }
                        ?? false
                case .text(let text): expected as? String == text
                case .blob: false
                }
            }
    }
}
