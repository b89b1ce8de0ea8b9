import Foundation
import TestSupport
import Testing

@testable import Tensors

/// Mutated safetensors files are read or rejected with their path, without crash or hang.
@Suite struct SafetensorsFuzzTests {
    @Test func mutatedFilesAreReadOrRejected() throws {
        let header =
            #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
        let good = length + Array(header.utf8) + [UInt8](repeating: 7, count: 32)
        let folder = try TemporaryFolder()
        let path = folder.file("x.safetensors")
        try Data(good).write(to: URL(filePath: path))
        _ = try SafetensorsFile(path: path)
        var mutations = Mutations(seed: 11)
        let count = Mutations.count(otherwise: 2_000)
        var rejected = 0
        for _ in 0..<count {
            var bytes = mutations.mutated([good], interesting: Array("{}[]\":,0123456789-eEF\\u".utf8))
            // Half of them get a consistent length, so that the header itself is parsed.
            if Bool.random(using: &mutations), bytes.count > 40 {
                let fitting = bytes.count - 40
                for index in 0..<8 { bytes[index] = UInt8(truncatingIfNeeded: fitting >> (8 * index)) }
            }
            try Data(bytes).write(to: URL(filePath: path))
            do {
                _ = try SafetensorsFile(path: path)
            } catch {
                rejected += 1
                #expect("\(error)".contains("x.safetensors"), "\(error)")
            }
        }
        #expect(rejected > count / 2, "\(rejected) of \(count) rejected")
    }
}
