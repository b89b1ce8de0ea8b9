import Tensors

/// The vision transformer of BLIP (arXiv 2201.12086, after 2010.11929): every token of the image behind the last norm.
struct BLIPVision {
    private struct Block {
        let attentionNorm, feedForwardNorm: LayerNorm
        /// Queries, keys and values from one layer, [3 D, D].
        let attention, output: Linear
        let up, down: Linear
    }

    private static let epsilon: Float = 1e-6
    /// Rows of the output: the class token and the patches.
    let tokenCount: Int
    private let headCount: Int
    private let patches: Convolution
    private let classToken, positions: Matrix
    private let blocks: [Block]
    private let lastNorm: LayerNorm

    init(_ checkpoint: Checkpoint, prefix: String, side: Int, patch: Int, width d: Int, layers: Int, heads: Int) throws
    {
        headCount = heads
        tokenCount = 1 + (side / patch) * (side / patch)
        let weight = try checkpoint.tensor("\(prefix).patch_embed.proj.weight", shape: [d, 3, patch, patch])
        patches = Convolution(
            weight: try Weight(weight, rows: d, columns: 3 * patch * patch),
            bias: try checkpoint.vector("\(prefix).patch_embed.proj.bias", count: d), kernelSize: patch, padding: 0,
            stride: patch)
        classToken = try checkpoint.matrix("\(prefix).cls_token", shape: [1, 1, d], rows: 1, columns: d)
        positions = try checkpoint.matrix(
            "\(prefix).pos_embed", shape: [1, tokenCount, d], rows: tokenCount, columns: d)
        blocks = try (0..<layers).map { index in
            let block = "\(prefix).blocks.\(index)"
            return Block(
                attentionNorm: try LayerNorm(checkpoint, "\(block).norm1", count: d, epsilon: Self.epsilon),
                feedForwardNorm: try LayerNorm(checkpoint, "\(block).norm2", count: d, epsilon: Self.epsilon),
                attention: try checkpoint.linear("\(block).attn.qkv", inputs: d, outputs: 3 * d),
                output: try checkpoint.linear("\(block).attn.proj", inputs: d, outputs: d),
                up: try checkpoint.linear("\(block).mlp.fc1", inputs: d, outputs: 4 * d),
                down: try checkpoint.linear("\(block).mlp.fc2", inputs: 4 * d, outputs: d))
        }
        lastNorm = try LayerNorm(checkpoint, "\(prefix).norm", count: d, epsilon: Self.epsilon)
    }

    /// The tokens of a normalised image [3, side * side], [tokens, D].
    func encode(_ pixels: FeatureMap, workspace: Workspace) -> Matrix {
        let (t, d) = (positions.rows, positions.columns)
        let (hidden, normed, added) = (
            Matrix(rows: t, columns: d), Matrix(rows: t, columns: d), Matrix(rows: t, columns: d)
        )
        let (attended, parts) = (Matrix(rows: t, columns: d), Matrix(rows: t, columns: 3 * d))
        let lifted = Matrix(rows: t, columns: 4 * d)
        embedPatches(pixels, patches, classToken: classToken, positions: positions, into: hidden, workspace: workspace)
        for block in blocks {
            block.attentionNorm.apply(hidden, into: normed)
            linear(normed, block.attention, into: parts, workspace: workspace)
            attention(
                queries: parts.columns(0..<d), keys: parts.columns(d..<(2 * d)),
                values: parts.columns((2 * d)..<(3 * d)), headCount: headCount,
                scale: 1 / Float(d / headCount).squareRoot(), into: attended, workspace: workspace)
            linear(attended, block.output, into: added, workspace: workspace)
            add(added, to: hidden)

            block.feedForwardNorm.apply(hidden, into: normed)
            linear(normed, block.up, activation: .gelu, into: lifted, workspace: workspace)
            linear(lifted, block.down, into: added, workspace: workspace)
            add(added, to: hidden)
        }
        lastNorm.apply(hidden, into: normed)
        return normed
    }
}
