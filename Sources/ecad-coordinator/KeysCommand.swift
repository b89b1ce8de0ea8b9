import ArgumentParser
import Foundation
import ProgramSupport
import Transport

/// Where the coordinator's keys are.
struct KeyLocation: ParsableArguments {
    @Option(help: "The folder of the run; its keys are in the folder keys inside.")
    var runDir: String?

    @Option(help: "The folder of the keys, if it is not in the run folder.")
    var keys: String?

    func validate() throws {
        guard (runDir == nil) != (keys == nil) else { throw ValidationError("give --run-dir DIR or --keys DIR") }
    }

    var path: String { keys ?? "\(runDir ?? "")/keys" }

    /// The folder, made if need be.
    func create() throws -> KeyFolder {
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        return try KeyFolder.create(path)
    }
}

extension CoordinatorCommand {
    struct Keys: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says which workers may join: every worker has a key of its own.",
            subcommands: [New.self, Authorize.self, Revoke.self, List.self])
    }
}

extension CoordinatorCommand.Keys {
    struct New: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Makes a worker's key file and authorizes it.",
            discussion: """
                Take the file to the worker's machine by a way that nobody else can read (scp, a secret of the cluster), \
                and start the worker with --key FILE. Two workers at once cannot use the same file.
                """)

        @Argument(help: "What the worker is called in reports.")
        var name: String

        @OptionGroup var location: KeyLocation

        @Option(help: "Make this many, called NAME-1, NAME-2, ...: for an array of workers.")
        var count: Int?

        @Option(name: .shortAndLong, help: "The key file; with --count, a folder for NAME-1.key, NAME-2.key, ...")
        var output: String?

        func validate() throws {
            if let count, !(1...100_000).contains(count) {
                throw ValidationError("--count \(count): expected 1 to 100000")
            }
        }

        func run() throws {
            let folder = try location.create()
            let coordinator = try folder.coordinatorKeys().publicKey
            guard let count else {
                return try make(name, output ?? "\(name).key", folder, coordinator)
            }
            let directory = output ?? "."
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            for number in 1...count {
                try make("\(name)-\(number)", "\(directory)/\(name)-\(number).key", folder, coordinator)
            }
        }

        private func make(_ name: String, _ path: String, _ folder: KeyFolder, _ coordinator: PublicKey) throws {
            guard try !folder.entries().contains(where: { $0.name == name && !$0.isRevoked }) else {
                throw TransportError.keyName(name: name, reason: "has a key already: revoke it first")
            }
            let file = WorkerKeyFile(name: name, keys: try KeyPair.generate(), coordinator: coordinator)
            // The file first: a key that is on the list but nowhere else helps nobody.
            try file.write(to: path)
            try folder.authorize(name, key: file.keys.publicKey)
            print(path)
        }
    }

    struct Authorize: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Lets a worker join whose key was revoked, or was made elsewhere.")

        @Argument(help: "What the worker is called in reports.")
        var name: String

        @Argument(help: "Its public key, 64 hexadecimal digits; without it, the one it had before.")
        var key: String?

        @OptionGroup var location: KeyLocation

        func run() throws {
            let publicKey = try key.map { text in
                guard let key = PublicKey(hexadecimal: text) else {
                    throw ValidationError("\(text): expected a public key, 64 hexadecimal digits")
                }
                return key
            }
            try location.create().authorize(name, key: publicKey)
        }
    }

    struct Revoke: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Keeps a worker out; a coordinator at work breaks with it within seconds.")

        @Argument(help: "The worker, as keys list names it.")
        var name: String

        @OptionGroup var location: KeyLocation

        func run() throws { try KeyFolder.open(location.path).revoke(name) }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists the workers' keys.")

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
                print("\(name)  \(state)  \(row.since)  \(row.key)")
            }
        }
    }
}
