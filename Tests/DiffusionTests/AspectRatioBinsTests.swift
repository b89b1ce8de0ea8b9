import Testing

@testable import Diffusion

@Suite struct AspectRatioBinsTests {
    /// Expected values are those of `PixArtImageProcessor.classify_height_width_bin` of diffusers, for each of its tables.
    @Test(arguments: [
        (512, 512, [256, 256], [512, 512], [1024, 1024], [2048, 2048]),
        (300, 1000, [128, 464], [256, 928], [512, 1856], [1024, 3712]),
        (1000, 300, [432, 144], [864, 288], [1728, 576], [3584, 1152]),
        (640, 480, [288, 224], [576, 448], [1152, 896], [2304, 1792]),
        (1080, 1920, [192, 336], [384, 672], [768, 1344], [1536, 2688]),
        (1, 100, [128, 512], [256, 1024], [512, 2048], [1024, 4096]),
        (100, 1, [512, 128], [1024, 256], [2048, 512], [4096, 1024]),
    ])
    func binsMatchDiffusers(
        _ height: Int, _ width: Int, _ at256: [Int], _ at512: [Int], _ at1024: [Int], _ at2048: [Int]
    ) {
        for (sampleSize, expected) in [(32, at256), (64, at512), (128, at1024), (256, at2048)] {
            let bin = AspectRatioBins.nearest(height: height, width: width, sampleSize: sampleSize)
            #expect(bin.map { [$0.height, $0.width] } == expected)
        }
    }

    @Test func unknownNativeSizesHaveNoBins() {
        #expect(AspectRatioBins.nearest(height: 64, width: 64, sampleSize: 8) == nil)
    }
}
