import GRDB

/// The reference of the history's tables and views, generated from the schema and the notes below.
///
/// `cluster/history.md` contains it between two comments; a test compares it with the schema.
public enum SchemaGuide {
    /// The entity diagram (Mermaid) and the columns of every table and view as Markdown.
    ///
    /// - Throws: `HistoryError.query` if a column has no note, or a note has no column.
    public static func markdown() throws -> String {
        let entities = try schema()
        try requireComplete(entities)
        let tables = entities.filter { !$0.isView }
        let views = entities.filter(\.isView)
        return """
            ```mermaid
            \(diagram(of: tables))
            ```

            ### Tables

            \(tables.map(section).joined(separator: "\n"))
            ### Views

            \(views.map(section).joined(separator: "\n"))
            """
    }

    struct Entity {
        let name: String
        let isView: Bool
        let columns: [Column]
        /// Columns, referenced table, and whether one of the columns may be NULL.
        let references: [(columns: [String], table: String, isOptional: Bool)]
    }

    struct Column {
        let name, type: String
        let isKey: Bool
    }

    /// Tables in the order of their creation, then the views in theirs.
    static func schema() throws -> [Entity] {
        let database = try DatabaseQueue()
        try Schema.migrate(database, at: 0)
        return try database.read { db in
            let names = try Row.fetchAll(
                db,
                sql: """
                    SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'
                    ORDER BY type, rowid
                    """)
            return try names.map { row in
                let name: String = row["name"]
                let info = try Row.fetchAll(db, sql: "SELECT * FROM pragma_table_info(?)", arguments: [name])
                let optional = Set(info.filter { $0["notnull"] == 0 }.map { $0["name"] as String })
                let keys = try Row.fetchAll(
                    db,
                    sql: """
                        SELECT "table", group_concat("from") AS columns FROM (
                            SELECT * FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq)
                        GROUP BY id ORDER BY id DESC
                        """,
                    arguments: [name])
                return Entity(
                    name: name, isView: row["type"] == "view",
                    columns: info.map { Column(name: $0["name"], type: $0["type"], isKey: $0["pk"] > 0) },
                    references: keys.map { key in
                        let columns = (key["columns"] as String).split(separator: ",").map(String.init)
                        return (columns, key["table"], !optional.isDisjoint(with: columns))
                    })
            }
        }
    }

    private static func requireComplete(_ entities: [Entity]) throws {
        let described = Set(notes.flatMap { entity, note in note.columns.keys.map { "\(entity).\($0)" } })
        let existing = Set(entities.flatMap { entity in entity.columns.map { "\(entity.name).\($0.name)" } })
        let problems =
            existing.subtracting(described).sorted().map { "\($0) has no note" }
            + described.subtracting(existing).sorted().map { "\($0) has a note but does not exist" }
        guard problems.isEmpty else {
            throw HistoryError.query(reason: "schema reference: \(problems.joined(separator: ", "))")
        }
    }

    private static func diagram(of tables: [Entity]) -> String {
        let relations = tables.flatMap { table in
            table.references.map { reference in
                "    \(reference.table) \(reference.isOptional ? "|o" : "||")--o{ \(table.name) : \(reference.columns[reference.columns.count - 1])"
            }
        }
        return (["erDiagram"] + relations).joined(separator: "\n")
    }

    private static func section(_ entity: Entity) -> String {
        let note = notes[entity.name]
        let summary =
            note?.summary ?? Schema.views.first { $0.name == entity.name }.map { "\($0.summary)" } ?? ""
        let references = Dictionary(
            entity.references.filter { $0.columns.count == 1 }.map { ($0.columns[0], $0.table) }
        ) { first, _ in first }
        let rows = entity.columns.map { column in
            let type = [
                column.type.lowercased(), column.isKey ? "key" : "", references[column.name].map { "→ `\($0)`" } ?? "",
            ].filter { !$0.isEmpty }.joined(separator: ", ")
            let text = note?.columns[column.name] ?? ""
            return entity.isView ? "| `\(column.name)` | \(text) |" : "| `\(column.name)` | \(type) | \(text) |"
        }
        let head = entity.isView ? "| column | meaning |\n|---|---|" : "| column | type | meaning |\n|---|---|---|"
        return "**`\(entity.name)`**: \(summary)\n\n\(head)\n\(rows.joined(separator: "\n"))\n"
    }
}
