import ModelConfiguration
import Tensors

extension FluxTransformer {
    /// The activations of a forward pass, allocated once for a number and size of images and used for every step.
    public struct Activations {
        /// The number of images, P.
        public let imageCount: Int
        /// Text tokens of each image, L.
        public let textTokenCount: Int
        /// Image tokens of each image, T.
        public var imageTokenCount: Int { grid.rows * grid.columns }

        let grid: PatchGrid
        let rotation: RotaryEmbedding
        /// [P * T, patch channels].
        let patches: Matrix
        /// [P * S, D].
        let hidden, normed, component, queries, keys, values: Matrix
        /// [P * S, 5 D]: an attention's result, then the inner side of an MLP.
        let combined: Matrix

        /// S.
        var tokenCount: Int { textTokenCount + imageTokenCount }
        var attended: Matrix { combined.columns(0..<hidden.columns) }
        var expanded: Matrix { combined.columns(hidden.columns..<combined.columns) }

        /// The rows of all tokens of one image.
        func rows(_ image: Int) -> Range<Int> { (image * tokenCount)..<((image + 1) * tokenCount) }
        /// The rows of one image's text tokens.
        func textRows(_ image: Int) -> Range<Int> { (image * tokenCount)..<(image * tokenCount + textTokenCount) }
        /// The rows of one image's image tokens.
        func imageRows(_ image: Int) -> Range<Int> { textRows(image).upperBound..<rows(image).upperBound }
        /// The rows of one image's tokens of one stream.
        func rows(_ image: Int, isText: Bool) -> Range<Int> { isText ? textRows(image) : imageRows(image) }

        /// Memory for the output of a component in a cache.
        public func cacheSlot(_ extent: ComponentExtent) -> Matrix {
            let d = hidden.columns
            return switch extent {
            case .tokens: Matrix(rows: imageCount * tokenCount, columns: d)
            case .imageTokens: Matrix(rows: imageCount * imageTokenCount, columns: d)
            case .textTokens: Matrix(rows: imageCount * textTokenCount, columns: d)
            case .expandedTokens: Matrix(rows: imageCount * tokenCount, columns: 4 * d)
            }
        }
    }

    /// Allocates the activations for images of one size with prompts of one length.
    ///
    /// - Parameters:
    ///   - imageCount: P.
    ///   - latentHeight: Rows of the latents.
    ///   - latentWidth: Columns of the latents.
    ///   - textTokenCount: L.
    ///   - positions: The positions of all text, then all image tokens along the rotary axes, [S, 3]; nil for the pipeline's own: zeros
    ///     for text, (0, row, column) for the image.
    /// - Returns: The activations.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` if the latents do not divide into patches.
    public func activations(
        imageCount: Int, latentHeight: Int, latentWidth: Int, textTokenCount: Int, positions: Matrix? = nil
    ) throws -> Activations {
        let (d, side) = (settings.width, FluxConfiguration.patchSize)
        guard imageCount > 0, latentHeight > 0, latentWidth > 0, latentHeight % side == 0, latentWidth % side == 0
        else {
            throw ModelsError.invalidArgument(
                "latents of \(latentHeight)x\(latentWidth) do not divide into patches of \(side)x\(side)")
        }
        let grid = PatchGrid(
            channels: settings.latentChannels, side: side, rows: latentHeight / side, columns: latentWidth / side)
        let imageTokenCount = grid.rows * grid.columns
        let rows = imageCount * (textTokenCount + imageTokenCount)
        func matrix(_ columns: Int) -> Matrix { Matrix(rows: rows, columns: columns) }
        return Activations(
            imageCount: imageCount, textTokenCount: textTokenCount, grid: grid,
            rotation: RotaryEmbedding(
                positions: positions ?? Self.positions(grid, textTokenCount: textTokenCount),
                dimensions: settings.rotaryDimensions),
            patches: Matrix(rows: imageCount * imageTokenCount, columns: settings.patchChannels), hidden: matrix(d),
            normed: matrix(d), component: matrix(d), queries: matrix(d), keys: matrix(d), values: matrix(d),
            combined: matrix(5 * d))
    }

    private static func positions(_ grid: PatchGrid, textTokenCount: Int) -> Matrix {
        let positions = Matrix(rows: textTokenCount + grid.rows * grid.columns, columns: 3)
        for token in 0..<(grid.rows * grid.columns) {
            positions[textTokenCount + token, 1] = Float(token / grid.columns)
            positions[textTokenCount + token, 2] = Float(token % grid.columns)
        }
        return positions
    }
}
