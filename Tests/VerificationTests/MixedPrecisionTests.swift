import Foundation
import TestSupport
import Testing
import Verification

/// Checkpoints with tensors of different types.
@Suite struct MixedPrecisionTests {
    /// Stores every second bfloat16 tensor as float32, with the same values.
    @Test func mixedBfloat16AndFloat32GiveTheSameResults() throws {
        let model = try ModelCopy(of: "alpha-patch1")
        var changed = 0
        for shard in ["00001-of-00002", "00002-of-00002"] {
            try model.edit("transformer/diffusion_pytorch_model-\(shard).safetensors") { content in
                for (index, name) in content.tensors.keys.sorted().enumerated() where index % 2 == 0 {
                    guard let tensor = content.tensors[name], tensor.type == "BF16" else { continue }
                    var widened = Data()
                    for pair in stride(from: 0, to: tensor.bytes.count, by: 2) {
                        widened += [0, 0] + tensor.bytes.dropFirst(pair).prefix(2)
                    }
                    content.tensors[name] = .init(type: "F32", shape: tensor.shape, bytes: widened)
                    changed += 1
                }
            }
        }
        #expect(changed > 20)
        for reference in ["transformer", "transformer-odd"] {
            let report = try Verification.run(
                model: model.path, reference: "\(Fixtures.folder)/alpha-patch1/\(reference).safetensors")
            #expect(report.passed, "\(reference): \(report.tensors.map(\.relativeL2))")
        }
    }
}
