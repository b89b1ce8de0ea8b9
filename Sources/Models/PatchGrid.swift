import Tensors

/// Latents [C, h, w] as tokens: a grid of squares of pixels, each with all channels.
struct PatchGrid {
    /// Channels of the latents.
    let channels: Int
    /// Pixels along each side of a patch, p.
    let side: Int
    /// Rows of the grid; latents have p times as many.
    let rows: Int
    /// Columns of the grid.
    let columns: Int

    /// Cuts one image, [1, C * h * w], into tokens [rows * columns, C * p * p], each (channel, row, column).
    func cut(_ image: Matrix, into patches: Matrix) {
        forEachRun(image, patches) { pixels, values in values.update(from: pixels, count: side) }
    }

    /// Puts tokens, each (channel, row, column), back into one image: the inverse of ``cut(_:into:)``.
    func join(_ patches: Matrix, into image: Matrix) {
        forEachRun(image, patches) { pixels, values in pixels.update(from: values, count: side) }
    }

    /// Calls `body` for every row of pixels in every channel of every patch.
    private func forEachRun(
        _ image: Matrix, _ patches: Matrix, _ body: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>) -> Void
    ) {
        let (height, width) = (rows * side, columns * side)
        precondition(image.count == channels * height * width && patches.rows == rows * columns, "patches of an image")
        for token in 0..<patches.rows {
            let (gridRow, gridColumn) = token.quotientAndRemainder(dividingBy: columns)
            let patch = patches.pointer + token * patches.stride
            for channel in 0..<channels {
                for row in 0..<side {
                    let pixels = (channel * height + gridRow * side + row) * width + gridColumn * side
                    body(image.pointer + pixels, patch + (channel * side + row) * side)
                }
            }
        }
    }
}
