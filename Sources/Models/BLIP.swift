import ModelConfiguration
import Tensors

/// BLIP's image encoder (arXiv 2201.12086): a vision transformer (arXiv 2010.11929) with pre-norm blocks.
///
/// N image tokens (the class token and the patches), D width.
struct BLIPVision {
    private struct Block {
        let attentionNorm, feedForwardNorm: LayerNorm
        /// Queries, keys and values in one layer, `[3 D, D]`.
        let attention, output: Linear
        let up, down: Linear
    }

    private static let epsilon: Float = 1e-6
    /// N: the class token and the patches.
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

    /// The states of all tokens after the final norm, `[N, D]`, of a normalised image `[3, side²]`.
    func encode(_ pixels: FeatureMap, workspace: Workspace) -> Matrix {
        let (t, d) = (positions.rows, positions.columns)
        let (hidden, normed, added) = (
            Matrix(rows: t, columns: d), Matrix(rows: t, columns: d), Matrix(rows: t, columns: d)
        )
        let (attended, parts) = (Matrix(rows: t, columns: d), Matrix(rows: t, columns: 3 * d))
        let mlpHidden = Matrix(rows: t, columns: 4 * d)
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
            linear(normed, block.up, activation: .gelu, into: mlpHidden, workspace: workspace)
            linear(mlpHidden, block.down, into: added, workspace: workspace)
            add(added, to: hidden)
        }
        lastNorm.apply(hidden, into: normed)
        return normed
    }
}

/// BLIP's image-grounded text encoder (arXiv 2201.12086): BERT (arXiv 1810.04805) with cross-attention to image tokens.
///
/// Post-norm layers without token types. Padding is omitted, which is equivalent to the original's masking.
struct BLIPText {
    /// The architecture, from `med_config`; defaults are those of bert-base-uncased with BLIP's vocabulary.
    struct Settings: Sendable, Equatable {
        let vocabulary, width, layerCount, headCount, feedForwardWidth, positionCount: Int
        let epsilon: Float

        init(_ c: Configuration) throws {
            _ = try c.require("hidden_act", oneOf: ["gelu"], default: "gelu")
            vocabulary = try c.count("vocab_size", default: 30524)
            width = try c.count("hidden_size", default: 768)
            layerCount = try c.count("num_hidden_layers", default: 12, in: 1...1000)
            headCount = try c.count("num_attention_heads", default: 12)
            feedForwardWidth = try c.count("intermediate_size", default: 3072)
            positionCount = try c.count("max_position_embeddings", default: 512, in: 2...65536)
            epsilon = Float(try c.positive("layer_norm_eps", default: 1e-12))
            guard width % headCount == 0 else {
                throw ModelsError.invalidValue(
                    path: c.path, key: "num_attention_heads", expected: "a divisor of hidden_size = \(width)",
                    found: "\(headCount)")
            }
        }
    }

    private struct Attention {
        let query, key, value, output: Linear
        let norm: LayerNorm
    }

    private struct Layer {
        let selfAttention, crossAttention: Attention
        let up, down: Linear
        let norm: LayerNorm
    }

    let settings: Settings
    private let words, positions: Weight
    private let firstNorm: LayerNorm
    private let layers: [Layer]

    init(_ checkpoint: Checkpoint, prefix: String, settings: Settings, imageWidth: Int) throws {
        let (d, ff) = (settings.width, settings.feedForwardWidth)
        func norm(_ name: String) throws -> LayerNorm {
            try LayerNorm(checkpoint, name, count: d, epsilon: settings.epsilon)
        }
        func attention(_ name: String, inputs: Int) throws -> Attention {
            Attention(
                query: try checkpoint.linear("\(name).self.query", inputs: d, outputs: d),
                key: try checkpoint.linear("\(name).self.key", inputs: inputs, outputs: d),
                value: try checkpoint.linear("\(name).self.value", inputs: inputs, outputs: d),
                output: try checkpoint.linear("\(name).output.dense", inputs: d, outputs: d),
                norm: try norm("\(name).output.LayerNorm"))
        }
        self.settings = settings
        words = try checkpoint.weight(
            "\(prefix).embeddings.word_embeddings.weight", rows: settings.vocabulary, columns: d)
        positions = try checkpoint.weight(
            "\(prefix).embeddings.position_embeddings.weight", rows: settings.positionCount, columns: d)
        firstNorm = try norm("\(prefix).embeddings.LayerNorm")
        layers = try (0..<settings.layerCount).map { index in
            let layer = "\(prefix).encoder.layer.\(index)"
            return Layer(
                selfAttention: try attention("\(layer).attention", inputs: d),
                crossAttention: try attention("\(layer).crossattention", inputs: imageWidth),
                up: try checkpoint.linear("\(layer).intermediate.dense", inputs: d, outputs: ff),
                down: try checkpoint.linear("\(layer).output.dense", inputs: ff, outputs: d),
                norm: try norm("\(layer).output.LayerNorm"))
        }
    }

    /// The first token's state after the last layer.
    ///
    /// - Parameters:
    ///   - ids: T token ids without padding, at least one, each within the vocabulary.
    ///   - image: Image tokens, `[N, image width]`.
    ///   - workspace: Scratch memory.
    /// - Returns: `[1, D]`.
    func encode(ids: [Int], image: Matrix, workspace: Workspace) -> Matrix {
        let (t, d) = (ids.count, settings.width)
        func matrix(_ rows: Int) -> Matrix { Matrix(rows: rows, columns: d) }
        let (hidden, added) = (matrix(t), matrix(t))
        for (row, id) in ids.enumerated() {
            words.widen(rows: id..<(id + 1), into: hidden.rows(row..<(row + 1)).pointer)
        }
        positions.widen(rows: 0..<t, into: added.pointer)
        add(added, to: hidden)
        firstNorm.apply(hidden, into: hidden)

        let (queries, attended, mlpHidden) = (
            matrix(t), matrix(t), Matrix(rows: t, columns: settings.feedForwardWidth)
        )
        let textMemory = (keys: matrix(t), values: matrix(t))
        let imageMemory = (keys: matrix(image.rows), values: matrix(image.rows))
        func attend(_ layer: Attention, to source: Matrix, _ memory: (keys: Matrix, values: Matrix)) {
            linear(hidden, layer.query, into: queries, workspace: workspace)
            linear(source, layer.key, into: memory.keys, workspace: workspace)
            linear(source, layer.value, into: memory.values, workspace: workspace)
            attention(
                queries: queries, keys: memory.keys, values: memory.values, headCount: settings.headCount,
                scale: 1 / Float(d / settings.headCount).squareRoot(), into: attended, workspace: workspace)
            linear(attended, layer.output, into: added, workspace: workspace)
            add(added, to: hidden)
            layer.norm.apply(hidden, into: hidden)
        }
        for layer in layers {
            attend(layer.selfAttention, to: hidden, textMemory)
            attend(layer.crossAttention, to: image, imageMemory)
            linear(hidden, layer.up, activation: .gelu, into: mlpHidden, workspace: workspace)
            linear(mlpHidden, layer.down, into: added, workspace: workspace)
            add(added, to: hidden)
            layer.norm.apply(hidden, into: hidden)
        }
        return hidden.rows(0..<1)
    }
}
