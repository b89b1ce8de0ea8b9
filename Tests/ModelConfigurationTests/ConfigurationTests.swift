import JSON
import ModelConfiguration
import TestSupport
import Testing

@Suite struct ConfigurationTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func read(_ text: String) throws -> Configuration {
        try Configuration(path: folder.write(text, to: "config.json"))
    }

    @Test func valuesAreReadByType() throws {
        let configuration = try read(
            #"{"i": 3, "f": 2.0, "d": 0.5, "b": true, "s": "x", "n": null, "c": [1, 2], "m": {"a": "b"}, "l": ["x"]}"#)
        #expect(try configuration.int("i") == 3)
        #expect(try configuration.int("f") == 2)
        #expect(try configuration.double("d") == 0.5)
        #expect(try configuration.bool("b"))
        #expect(try configuration.string("s") == "x")
        #expect(try configuration.counts("c") == [1, 2])
        #expect(try configuration.strings("m") == ["a": "b"])
        #expect(try configuration.list("l") == ["x"])
        #expect(configuration.has("i") && !configuration.has("n") && !configuration.has("absent"))
    }

    @Test func absentAndNullTakeTheDefault() throws {
        let configuration = try read(#"{"n": null}"#)
        #expect(try configuration.count("n", default: 7) == 7)
        #expect(try configuration.count("absent", default: 7) == 7)
        #expect(throws: JSONError.self) { try configuration.count("n") }
        let line = complaint { try configuration.count("n") }
        #expect(line.isOneLine(naming: "\(configuration.path): n is missing; expected an integer"))
    }

    @Test func bareInfinitiesAreReadButAreNotNumbers() throws {
        let configuration = try read(#"{"a": -Infinity, "b": [Infinity, NaN], "s": "\"-Infinity, NaN\"", "i": 1}"#)
        #expect(configuration.isNegativeInfinity("a") && !configuration.isNegativeInfinity("i"))
        let line = complaint { try configuration.double("a", default: 1) }
        #expect(line.isOneLine(naming: "a is -Infinity; expected a number"), "\(line)")
        #expect(try configuration.string("s") == "\"-Infinity, NaN\"")
        #expect(try configuration.int("i") == 1)
    }

    @Test(arguments: [
        ("true", "true"), (#""3""#, #""3""#), ("2.5", "2.5"), ("1e300", "1e300"), ("0", "0"), ("-4", "-4"),
        ("1000001", "1000001"), ("[3]", "an array"), ("{}", "an object"),
    ])
    func valuesThatAreNotCountsAreRejected(_ json: String, _ found: String) throws {
        let configuration = try read("{\"n\": \(json)}")
        let line = complaint { try configuration.count("n") }
        #expect(line.isOneLine(naming: configuration.path, "n is \(found); expected an integer"))
    }

    @Test(arguments: ["0", "-1", "1e-60", "1e60", "\"1\"", "true"])
    func valuesNotPositiveInSinglePrecisionAreRejected(_ json: String) throws {
        let configuration = try read("{\"x\": \(json)}")
        #expect(complaint { try configuration.positive("x", default: 1) }.isOneLine(naming: "x is ", "number"))
    }

    @Test func emptyDocumentIsRejected() {
        #expect(complaint { try read("") }.isOneLine(naming: folder.file("config.json"), "is empty"))
    }

    @Test(arguments: ["{", "[1]", "3", "not JSON", "{\"a\": Infinit}"])
    func documentsOtherThanObjectsAreRejected(_ text: String) {
        let line = complaint { try read(text) }
        #expect(line.isOneLine(naming: folder.file("config.json")))
        #expect(line.description.contains("not valid JSON") || line.description.contains("expected an object"))
    }

    @Test func deepNestingIsRejectedWithoutATrap() {
        let depth = 100_000
        let text = "{\"a\": " + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + "}"
        #expect(complaint { try read(text) }.isOneLine(naming: "nested deeper than 64 levels"))
    }

    @Test func missingFileIsNamed() {
        let path = folder.file("absent.json")
        #expect(complaint { try Configuration(path: path) }.isOneLine(naming: path, "not found"))
    }
}
