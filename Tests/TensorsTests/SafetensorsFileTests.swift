import Foundation
import Tensors
import TestSupport
import Testing

@Suite struct SafetensorsFileTests {
    @Test func unsupportedTypeIsNamed() throws {
        try withTemporaryFile { path in
            let header = "{\"x\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,4]}}"
            try RawSafetensors.write(header: header, data: [0, 0, 0, 0], to: path)
            #expect(throws: TensorsError.unsupportedType(file: path, tensor: "x", found: "F33")) {
                try SafetensorsFile(path: path)
            }
        }
    }

    @Test func writtenFilesRoundTrip() throws {
        try withTemporaryFile { path in
            let metadata = ["format": "ecad-reference/1", "quotes": "a \"b\" \\ größe\n\u{1}", "tab\t": ""]
            try SafetensorsFile.write(
                [
                    .init("b", shape: [2, 3], values: .floats([1, 2, 3, 4, 5, .infinity])),
                    .init("ids", shape: [1, 2], values: .integers([.min, .max])),
                    .init("scalar", shape: [], values: .floats([7])),
                    .init("none", shape: [0, 4], values: .floats([])),
                ], metadata: metadata, to: path)
            let file = try SafetensorsFile(path: path)
            #expect(file.metadata == metadata)
            #expect(file.names == ["b", "ids", "none", "scalar"])
            #expect(try file.tensor("b").shape == [2, 3])
            #expect(try file.tensor("b").floats() == [1, 2, 3, 4, 5, .infinity])
            #expect(try file.tensor("b").matrix(rows: 2, columns: 3)[1, 0] == 4)
            #expect(try file.tensor("ids").integers() == [.min, .max])
            #expect(try file.tensor("scalar").floats() == [7])
            #expect(try file.tensor("none").floats() == [])
            #expect(file.contains("b") && !file.contains("c"))
            #expect(throws: TensorsError.missingTensor(file: path, tensor: "c")) { try file.tensor("c") }
        }
    }

    @Test func inconsistentTensorsAreNotWritten() throws {
        try withTemporaryFile { path in
            let tensor = SafetensorsFile.NewTensor("a", shape: [2], values: .floats([1, 2]))
            #expect(throws: TensorsError.invalidTensors(file: path, reason: "two tensors are named 'a'")) {
                try SafetensorsFile.write([tensor, tensor], to: path)
            }
            let error = TensorsError.invalidTensors(file: path, reason: "tensor 'a' of shape [3] has 1 values")
            #expect(throws: error) {
                try SafetensorsFile.write([.init("a", shape: [3], values: .floats([1]))], to: path)
            }
            #expect(!FileManager.default.fileExists(atPath: path))
        }
    }

    @Test(arguments: [StoredType.float32, .float16, .bfloat16, .float64], [false, true])
    func unalignedFloatsAreReadable(type: StoredType, shifted: Bool) throws {
        try withTemporaryFile { path in
            // All of these are exact in every type.
            let matrix = Matrix([0, 1, -2, 0.5, 96, -0.25], rows: 2, columns: 3)
            try RawSafetensors.write(matrix, type: type, shifted: shifted, to: path)
            let tensor = try SafetensorsFile(path: path).tensor("weight")
            #expect(tensor.type == type)
            #expect(try tensor.floats() == matrix.values)
            #expect(try Weight(tensor, rows: 2, columns: 3).matrix().values == matrix.values)
            #expect(
                throws: TensorsError.type(file: path, tensor: "weight", expected: "an integer type", found: type)
            ) { try tensor.integers() }
        }
    }

    @Test func allIntegerTypesAreReadable() throws {
        try withTemporaryFile { path in
            let types: [(String, [UInt8], Int64)] = [
                ("I8", [0xFF], -1), ("U8", [0xFF], 255), ("BOOL", [1], 1), ("I16", [0xFE, 0xFF], -2),
                ("U16", [0xFE, 0xFF], 65534), ("I32", [0xFD, 0xFF, 0xFF, 0xFF], -3),
                ("U32", [0xFD, 0xFF, 0xFF, 0xFF], 4_294_967_293), ("U64", [5, 0, 0, 0, 0, 0, 0, 0], 5),
            ]
            for (type, bytes, value) in types {
                let header = "{\"x\":{\"dtype\":\"\(type)\",\"shape\":[1],\"data_offsets\":[0,\(bytes.count)]}}"
                try RawSafetensors.write(header: header, data: bytes, to: path)
                #expect(try SafetensorsFile(path: path).tensor("x").integers() == [value], "\(type)")
            }
            let large = [UInt8](repeating: 0xFF, count: 8)
            let header = "{\"x\":{\"dtype\":\"U64\",\"shape\":[],\"data_offsets\":[0,8]}}"
            try RawSafetensors.write(header: header, data: large, to: path)
            #expect(throws: TensorsError.integerRange(file: path, tensor: "x", value: .max)) {
                try SafetensorsFile(path: path).tensor("x").integers()
            }
        }
    }

    @Test func fileSizeMismatchesAreRejected() throws {
        try withTemporaryFile { path in
            #expect(throws: TensorsError.unreadable(file: path, reason: "No such file or directory")) {
                try SafetensorsFile(path: path)
            }
            #expect(throws: TensorsError.unreadable(file: "/", reason: "not a regular file")) {
                try SafetensorsFile(path: "/")
            }
            try Data().write(to: URL(filePath: path))
            #expect(complaint { try SafetensorsFile(path: path) }.isOneLine(naming: path, "is empty"))
            let header = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"
            for count in [7, 9] {
                try RawSafetensors.write(header: header, data: [UInt8](repeating: 0, count: count), to: path)
                let described = 16 + header.utf8.count
                let error = TensorsError.size(file: path, bytes: described - 8 + count, described: described)
                #expect(throws: error) { try SafetensorsFile(path: path) }
                let hint = count < 8 ? "; the file is truncated: repeat the download or copy" : ""
                #expect(
                    error.description
                        == "\(path): is \(described - 8 + count) bytes but its header describes \(described)\(hint)")
            }
            try RawSafetensors.write(header: header, length: 5000, to: path)
            #expect(throws: TensorsError.size(file: path, bytes: 8 + header.utf8.count, described: 5008)) {
                try SafetensorsFile(path: path)
            }
            try RawSafetensors.write(header: header, length: .max, to: path)
            #expect(throws: TensorsError.self) { try SafetensorsFile(path: path) }
        }
    }

    static let malformedHeaders: [(header: String, fault: String)] = [
        ("", "expected an object"),
        ("[]", "expected an object"),
        ("{", "expected a quoted key"),
        ("{}x", "unexpected text after the end"),
        ("{\"x\"", "expected ':'"),
        ("{\"x\":3}", "expected an object"),
        ("{\"x\":{}}", "needs dtype, shape and data_offsets"),
        ("{\"x\":{\"dtype\":4,\"shape\":[],\"data_offsets\":[0,4]}}", "expected a string"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "expected an integer from 0"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", "found 1.5"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[1e9],\"data_offsets\":[0,4]}}", "found 1e9"),
        (
            "{\"x\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}",
            "expected an integer from 0"
        ),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", "is too large"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "are not a range"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", "are not a range"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[]}}", "are not a range"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "takes 8 bytes, data_offsets hold 4"),
        ("{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", "leaves a gap"),
        (
            "{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}",
            "the key \"dtype\" occurs twice"
        ),
        (
            "{\"x\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
                + "\"y\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", "overlaps"
        ),
        (
            "{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                + "\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", "the key \"x\" occurs twice"
        ),
        ("{\"__metadata__\":{\"a\":3}}", "expected a string"),
        ("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "the key \"a\" occurs twice"),
        ("{\"x\":{\"extra\":" + String(repeating: "[", count: 100_000) + "}}", "nested deeper than 64 levels"),
        ("{\"x\":{\"extra\":" + String(repeating: "{\"a\":", count: 100_000) + "}}", "nested deeper than 64 levels"),
        ("{\"x\":{\"extra\":}}", "expected a value"),
        ("{\"\\ud800\":{}}", "lone surrogate"),
        ("{\"\\ud800\\u0041\":{}}", "lone surrogate"),
        ("{\"\\q\":{}}", "unknown escape"),
        ("{\"\\u12g4\":{}}", "four hexadecimal digits"),
        ("{\"a\u{1}\":{}}", "control character"),
        ("{\"abc", "unterminated string"),
    ]

    @Test(arguments: malformedHeaders)
    func malformedHeadersAreRejected(header: String, fault: String) throws {
        try withTemporaryFile { path in
            try RawSafetensors.write(header: header, data: [0, 0, 0, 0], to: path)
            let error = #expect(throws: TensorsError.self) { try SafetensorsFile(path: path) }
            let message = try #require(error).description
            #expect(message.hasPrefix("\(path): is not a safetensors file: "))
            #expect(message.contains(fault))
        }
    }

    @Test func truncatedHeadersAreRejected() throws {
        let header =
            "{\"__metadata__\":{\"a\":\"\\u00e9\"},"
            + "\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}"
        try withTemporaryFile { path in
            for count in 0..<header.utf8.count {
                try RawSafetensors.write(header: String(header.prefix(count)), data: [0], to: path)
                #expect(throws: TensorsError.self) { try SafetensorsFile(path: path) }
            }
            try RawSafetensors.write(header: header, data: [0], to: path)
            #expect(try SafetensorsFile(path: path).metadata == ["a": "é"])
        }
    }

    @Test func unknownKeysAndEscapesAreAccepted() throws {
        try withTemporaryFile { path in
            let header =
                " { \"\\ud83d\\ude00\\/\" : {\"extra\": [1, -2.5e3, null, {\"a\": [true]}], \"dtype\": \"U8\" ,"
                + "\"shape\": [ 1 ] , \"data_offsets\": [0, 1]} }   "
            try RawSafetensors.write(header: header, data: [9], to: path)
            #expect(try SafetensorsFile(path: path).tensor("😀/").integers() == [9])
        }
    }

    @Test func invalidUTF8InHeaderIsRejected() throws {
        try withTemporaryFile { path in
            let header: [UInt8] = Array("{\"".utf8) + [0xFF, 0xC0] + Array("\":{}}".utf8)
            try Data([UInt8(header.count), 0, 0, 0, 0, 0, 0, 0] + header).write(to: URL(filePath: path))
            #expect(throws: TensorsError.header(file: path, reason: "a string that is not UTF-8 at line 1, column 6")) {
                try SafetensorsFile(path: path)
            }
        }
    }
}
