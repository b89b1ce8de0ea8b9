import ArgumentParser
import Foundation
import ProgramSupport
import Transport

/// The key directory, named directly or by its run directory.
struct KeyLocation: ParsableArguments {
    @Option(help: "Run directory, whose subdirectory keys contains the keys.")
    var runDir: String?

    @Option(help: "Key directory, if it is not in a run directory.")
    var keys: String?

    func validate() throws {
        guard (runDir == nil) != (keys == nil) else {
            throw ValidationError("expected exactly one of --run-dir DIR and --keys DIR")
        }
    }

    var path: String { keys ?? "\(runDir ?? "")/keys" }

    /// Opens the key directory; created if missing.
    func create() throws -> KeyFolder {
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        return try KeyFolder.create(path)
    }
}

extension CoordinatorCommand {
    struct Keys: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Manage the keys with which workers authenticate.",
            subcommands: [New.self, Authorize.self, Revoke.self, List.self])
    }
}

extension CoordinatorCommand.Keys {
    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Create a worker key file and authorize its key.",
            discussion: """
                Copy the file to the worker's machine over a confidential channel (scp, a cluster secret), and start the worker with --key FILE. \
                A key file can be used by one worker at a time.
                """)

        @Argument(help: "Worker name.")
        var name: String

        @OptionGroup var location: KeyLocation

        @Option(help: "Create this many key files, named NAME-1, NAME-2, ...")
        var count: Int?

        @Option(
            name: .shortAndLong,
            help: "Key file (default: NAME.key); with --count, the directory for NAME-1.key, NAME-2.key, ...")
        var output: String?

        func validate() throws {
            if let count { try requireOption("--count", count, in: 1...100_000) }
        }

        /// A key to create: the worker's name and its file.
        private var requests: [(name: String, path: String)] {
            guard let count else { return [(name, output ?? "\(name).key")] }
            return (1...count).map { ("\(name)-\($0)", "\(output ?? ".")/\(name)-\($0).key") }
        }

        func run() throws {
            // All checks first: a command that fails leaves neither keys nor directories behind.
            for request in requests {
                try KeyFolder.check(request.name)
                guard !FileManager.default.fileExists(atPath: request.path) else {
                    throw TransportError.keyFile(path: request.path, reason: "exists already; choose another -o")
                }
            }
            if FileManager.default.fileExists(atPath: location.path) {
                let used = Set(try KeyFolder.open(location.path).entries().filter { !$0.isRevoked }.map(\.name))
                for request in requests where used.contains(request.name) {
                    throw TransportError.keyName(name: request.name, reason: "already has a key; revoke it first")
                }
            }
            let folder = try location.create()
            let coordinator = try folder.coordinatorKeys().publicKey
            if count != nil {
                try FileManager.default.createDirectory(
                    atPath: output ?? ".", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            }
            for request in requests {
                let file = WorkerKeyFile(name: request.name, keys: try KeyPair.generate(), coordinator: coordinator)
                // The file first: an authorized key without a file would be useless.
                try file.write(to: request.path)
                do {
                    try folder.authorize(request.name, key: file.keys.publicKey)
                } catch {
                    unlink(request.path)
                    throw error
                }
                Program.printText(request.path)
            }
        }
    }

    struct Authorize: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Authorize a revoked key, or a public key created elsewhere.")

        @Argument(help: "Worker name.")
        var name: String

        @Argument(help: "Public key, 64 hexadecimal digits (default: the worker's revoked key).")
        var key: String?

        @OptionGroup var location: KeyLocation

        func run() throws {
            let publicKey = try key.map { text in
                guard let key = PublicKey(hexadecimal: text) else {
                    throw ValidationError("public key is \(text); expected 64 hexadecimal digits")
                }
                return key
            }
            try KeyFolder.check(name)
            try location.create().authorize(name, key: publicKey)
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revoke a key; a running coordinator disconnects its worker within seconds.")

        @Argument(help: "Worker name, as shown by keys list.")
        var name: String

        @OptionGroup var location: KeyLocation

        func run() throws { try KeyFolder.open(location.path).revoke(name) }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the workers' keys.")

        @OptionGroup var location: KeyLocation

        @Flag(help: "Print JSON.")
        var json = false

        private struct Row: Encodable {
            let name, key, state, since: String
        }

        func run() throws {
            let rows = try KeyFolder.open(location.path).entries().map { entry in
                Row(
                    name: entry.name, key: entry.key.description, state: entry.isRevoked ? "revoked" : "authorized",
                    since: Date(timeIntervalSince1970: Double(entry.since)).ISO8601Format())
            }
            if json {
                let encoder = JSONEncoder()
                encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
                return print(String(decoding: try encoder.encode(rows), as: UTF8.self))
            }
            let width = rows.map(\.name.count).max() ?? 0
            for row in rows {
                let name = row.name.padding(toLength: width, withPad: " ", startingAt: 0)
                let state = row.state.padding(toLength: 10, withPad: " ", startingAt: 0)
                Program.printText("\(name)  \(state)  \(row.since)  \(row.key)")
            }
        }
    }
}
