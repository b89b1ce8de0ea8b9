import Tensors
import Testing

@Suite struct PoolingTests {
    private let map = FeatureMap(
        Matrix([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16].map { Float($0) }, rows: 1, columns: 16),
        height: 4, width: 4)

    @Test func averagePoolingIgnoresPadding() {
        let result = FeatureMap(channelCount: 1, height: 4, width: 4)
        averagePool3x3(map, into: result)
        // 1 2 5 6 in the corner, 1...3 and 5...7 at the edge, nine inside.
        #expect(result.channels.values[0...1] == [3.5, 4])
        #expect(result.channels.values[5] == 6 && result.channels.values[15] == 13.5)
    }

    @Test func maxPoolingTakesTheLargestValuePerWindow() {
        let half = FeatureMap(channelCount: 1, height: 1, width: 1)
        maxPool3x3(map, stride: 2, into: half)
        #expect(half.channels.values == [11])
        let same = FeatureMap(channelCount: 1, height: 4, width: 4)
        maxPool3x3(map, stride: 1, padding: 1, into: same)
        #expect(same.channels.values == [6, 7, 8, 8, 10, 11, 12, 12, 14, 15, 16, 16, 14, 15, 16, 16])
    }

    @Test func maxPoolingIgnoresPaddingForNegativeValues() {
        let negative = FeatureMap(Matrix([-4, -3, -2, -1], rows: 1, columns: 4), height: 2, width: 2)
        let result = FeatureMap(channelCount: 1, height: 2, width: 2)
        maxPool3x3(negative, stride: 1, padding: 1, into: result)
        #expect(result.channels.values == [-1, -1, -1, -1])
    }

    @Test func channelMeansAverageEachChannel() {
        let two = FeatureMap(Matrix([1, 2, 3, 6, -1, 1, -1, 1], rows: 2, columns: 4), height: 2, width: 2)
        #expect(channelMeans(two).values == [3, 0])
    }
}
