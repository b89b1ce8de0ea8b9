/// The image sizes that PixArt was trained at, one for each ratio of height to width ("aspect ratio bins").
enum AspectRatioBins {
    /// Heights and widths of the 1024-pixel models; those of 512 and 256 pixels have a half and a quarter of them.
    private static let of1024 = [
        (512, 2048), (512, 1856), (576, 1792), (576, 1728), (576, 1664), (640, 1600), (640, 1536), (704, 1472),
        (704, 1408),
        (704, 1344), (768, 1344), (768, 1280), (832, 1216), (832, 1152), (896, 1152), (896, 1088), (960, 1088),
        (960, 1024),
        (1024, 1024), (1024, 960), (1088, 960), (1088, 896), (1152, 896), (1152, 832), (1216, 832), (1280, 768),
        (1344, 768),
        (1408, 704), (1472, 704), (1536, 640), (1600, 640), (1728, 576), (2048, 512),
    ]

    /// Those of PixArt-Sigma at 2048 pixels.
    private static let of2048 = [
        (1024, 4096), (1024, 3968), (1024, 3840), (1024, 3712), (1152, 3584), (1152, 3456), (1152, 3328), (1280, 3200),
        (1280, 3072), (1408, 2944), (1408, 2816), (1408, 2688), (1536, 2688), (1536, 2560), (1664, 2432), (1664, 2304),
        (1792, 2304), (1792, 2176), (1920, 2176), (1920, 2048), (2048, 2048), (2048, 1920), (2176, 1920), (2176, 1792),
        (2304, 1792), (2304, 1664), (2432, 1664), (2560, 1536), (2688, 1536), (2816, 1408), (2944, 1408), (3072, 1280),
        (3200, 1280), (3328, 1152), (3456, 1152), (3584, 1152), (3712, 1024), (3840, 1024), (3968, 1024), (4096, 1024),
    ]

    /// The bin that is nearest to a size's ratio, as diffusers' `classify_height_width_bin` picks it.
    ///
    /// - Parameters:
    ///   - height: The height wanted, in pixels.
    ///   - width: The width wanted.
    ///   - sampleSize: The side of the model's native latents.
    /// - Returns: The bin; nil for a native size that no published model has.
    static func nearest(height: Int, width: Int, sampleSize: Int) -> (height: Int, width: Int)? {
        let (bins, divisor): ([(Int, Int)], Int)
        switch sampleSize {
        case 32: (bins, divisor) = (of1024, 4)
        case 64: (bins, divisor) = (of1024, 2)
        case 128: (bins, divisor) = (of1024, 1)
        case 256: (bins, divisor) = (of2048, 1)
        default: return nil
        }
        let wanted = Double(height) / Double(width)
        // The original compares with ratios of two decimals; of equally near ones the first counts.
        func distance(_ bin: (Int, Int)) -> Double {
            abs((Double(bin.0) / Double(bin.1) * 100).rounded(.toNearestOrEven) / 100 - wanted)
        }
        let nearest = bins.min { distance($0) < distance($1) }
        return nearest.map { ($0.0 / divisor, $0.1 / divisor) }
    }
}
