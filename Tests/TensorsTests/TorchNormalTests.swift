import Tensors
import Testing

@Suite struct TorchNormalTests {
    @Test func noiseMatchesPyTorch() throws {
        let file = try SafetensorsFile(path: fixture("torch/randn.safetensors"))
        #expect(file.names.count == 9)
        for name in file.names {
            let parts = name.split(separator: ":")
            let seed = try #require(UInt64(parts[0]))
            let counts = parts[1].split(separator: ",").compactMap { Int($0) }
            var noise = TorchNormal(seed: seed)
            let found = counts.flatMap { noise.normal(count: $0) }
            let expected = try file.tensor(name).floats()
            #expect(found.count == expected.count)
            let error = zip(found, expected).map { abs($0 - $1) }.max()
            #expect(try #require(error) < 5e-7, "\(name)")
        }
    }

    @Test func sameSeedIsBitIdentical() {
        var first = TorchNormal(seed: 3)
        var second = TorchNormal(seed: 3)
        #expect(first.normal(count: 100) == second.normal(count: 100))
        #expect(first.normal(count: 0) == [])
        #expect(first.normal(count: 7) != first.normal(count: 7))
    }
}
