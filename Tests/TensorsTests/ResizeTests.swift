import Tensors
import Testing

@Suite struct ResizeTests {
    /// `(0..<24) * 7 % 11`, [1, 4 * 6].
    private let image = FeatureMap(
        Matrix((0..<24).map { Float($0 * 7 % 11) }, rows: 1, columns: 24), height: 4, width: 6)

    private func expect(_ found: FeatureMap, _ rows: [[Float]]) {
        #expect(found.height == rows.count && found.width == rows[0].count)
        for (value, expected) in zip(found.channels.values, rows.joined()) { #expect(abs(value - expected) < 1e-5) }
    }

    /// Expected values are those of `VaeImageProcessor.resize_and_crop_tensor` of diffusers.
    @Test func enlargingMatchesDiffusers() {
        expect(
            image.resizedAndCropped(height: 7, width: 5),
            [
                [7, 4.6, 4.4, 8.6, 8.4], [6.285714, 3.885714, 3.685714, 7.885715, 7.685713],
                [5.142857, 2.742857, 2.542857, 6.742858, 6.542857], [4, 4.9, 5.8, 6.7, 5.4],
                [2.857142, 7.057143, 9.057142, 6.657142, 4.257143], [1.714285, 5.914286, 7.914285, 5.514285, 3.114285],
                [1, 5.2, 7.2, 4.8, 2.4],
            ])
    }

    @Test func shrinkingMatchesDiffusers() {
        expect(
            image.resizedAndCropped(height: 3, width: 4),
            [
                [2.791667, 3.666667, 8.666667, 2.666667], [7, 5.125, 6, 4.125],
                [4.333333, 6.583333, 3.333333, 5.583333],
            ])
    }

    @Test func sameSizeIsUnchanged() {
        #expect(image.resizedAndCropped(height: 4, width: 6).channels.values == image.channels.values)
    }
}
