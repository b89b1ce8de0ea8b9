import ArgumentParser
import Basics
import Foundation

/// Finds mistakes in a command line that the parser reports as something else, or not at all.
///
/// The parser checks missing and contradictory options before unknown ones, so that a misspelt `--promt` would be reported
/// as a missing `--prompt`; it takes `-1` for an option, and an empty path, from an unset shell variable, for a path.
struct CommandLineArguments {
    /// The options of a command, as the parser describes them.
    private struct Description: Decodable {
        struct Command: Decodable {
            let arguments: [Argument]?
        }
        struct Argument: Decodable {
            struct Name: Decodable {
                let kind, name: String
                var text: String { (kind == "long" ? "--" : "-") + name }
            }
            let kind: String
            let isRepeating: Bool
            let parsingStrategy: String?
            let names: [Name]?
        }
        let command: Command
    }

    /// Options that the parser adds to every command.
    private static let builtIn = [
        "--help", "--help-hidden", "--version", "--generate-completion-script", "--experimental-dump-help",
    ]

    /// The command that the first arguments name.
    let command: any ParsableCommand.Type
    /// Lines about arguments that are accepted but probably not meant.
    private(set) var warnings: [String] = []
    /// The arguments for the parser: negative numbers joined to their option with `=`.
    private(set) var parsed: [String] = []
    private let options: [String: Description.Argument]
    private var given: Set<String> = []
    private let emptyAllowed: Set<String>

    /// Finds the command, without checking anything.
    ///
    /// - Parameters:
    ///   - arguments: Without the name of the program.
    ///   - root: The program's root command.
    ///   - emptyAllowed: Options whose value may be empty, such as `--prompt`.
    init(_ arguments: [String], of root: any ParsableCommand.Type, emptyAllowed: Set<String>) {
        var command = root
        for argument in arguments {
            guard let next = command.configuration.subcommands.first(where: { $0._commandName == argument }) else {
                break
            }
            command = next
            parsed.append(argument)
        }
        self.command = command
        self.emptyAllowed = emptyAllowed
        let description = try? JSONDecoder().decode(Description.self, from: Data(command._dumpHelp().utf8))
        options = Dictionary(
            (description?.command.arguments ?? []).flatMap { argument in
                (argument.names ?? []).map { ($0.text, argument) }
            }
        ) { first, _ in first }
    }

    /// Checks the arguments after the command's name.
    ///
    /// - Throws: `ValidationError` for an unknown subcommand or option and for an empty argument.
    mutating func check(_ arguments: [String]) throws {
        let rest = Array(arguments.dropFirst(parsed.count))
        let subcommands = command.configuration.subcommands.map { $0._commandName }
        if let first = rest.first, !subcommands.isEmpty, !first.hasPrefix("-"), first != "help" {
            throw ValidationError("unknown subcommand \(first.debugDescription)\(Self.suggestion(first, subcommands))")
        }
        guard rest.first != "help", !options.isEmpty else { return parsed += rest }
        var index = 0
        while index < rest.count {
            let argument = rest[index]
            let next = index + 1 < rest.count ? rest[index + 1] : nil
            guard argument != "--" else { return parsed += rest[index...] }
            let name = String(argument.prefix { $0 != "=" })
            guard let option = options[name] else {
                try checkUndeclared(argument, name)
                parsed.append(argument)
                index += 1
                continue
            }
            guard option.kind == "option" else {
                parsed.append(argument)
                index += 1
                continue
            }
            let isJoined = name != argument
            let value = isJoined ? String(argument.dropFirst(name.count + 1)) : next
            if value?.isEmpty == true, !emptyAllowed.contains(name) {
                throw ValidationError("\(name) is empty; expected a value")
            }
            if !option.isRepeating, !given.insert(option.names?.first?.text ?? name).inserted {
                warnings.append("\(name) is given more than once; only the last value is used")
            }
            index += 1
            if !isJoined, let value, Self.isNegative(value), name.hasPrefix("--") {
                parsed.append("\(name)=\(value)")
                index += 1
                continue
            }
            parsed.append(argument)
            // A value that looks like an option is one, unless the option takes whatever follows.
            if !isJoined, let value, !value.hasPrefix("-") || option.parsingStrategy == "unconditional" {
                parsed.append(value)
                index += 1
            }
        }
    }

    private func checkUndeclared(_ argument: String, _ name: String) throws {
        guard !argument.isEmpty else { throw ValidationError("an argument is empty; expected a value") }
        guard name.hasPrefix("--"), !name.hasPrefix("---"), !Self.builtIn.contains(name) else { return }
        throw ValidationError("unknown option \(name)\(Self.suggestion(name, Array(options.keys)))")
    }

    private static func suggestion(_ word: String, _ known: [String]) -> String {
        word.closest(in: known.sorted()).map { "; did you mean \($0)?" } ?? ""
    }

    /// Whether a value is a negative number, which the parser would take for an option.
    private static func isNegative(_ value: String) -> Bool { value.hasPrefix("-") && Double(value) != nil }
}
