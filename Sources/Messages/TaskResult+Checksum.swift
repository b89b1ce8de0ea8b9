import FoundationEssentials

extension TaskResult {
    /// CRC-32 of the content, independent of how it is encoded.
    ///
    /// Over, in this order and little-endian: task, lease epoch, bits of the task seconds and the number of images;
    /// then for each image candidate, prompt, seed, bits of the denoising and decoding seconds, 1 and the bits of the
    /// reference seconds or 0, the number of scores, each score by ascending UTF-8 of its name as length, name and
    /// bits, and 1, length and bytes of the PNG or 0. Counts, lengths and flags take 8 bytes.
    package var contentChecksum: UInt32 {
        var crc = CRC32()
        crc.update(taskID)
        crc.update(leaseEpoch)
        crc.update(taskSeconds.bitPattern)
        crc.update(images.count)
        for image in images { image.update(&crc) }
        return crc.value
    }

    /// Sets `checksum` to that of the content; the last thing to do before a result is kept or sent.
    package mutating func seal() { checksum = contentChecksum }
}

extension ImageMeasurement {
    fileprivate func update(_ crc: inout CRC32) {
        crc.update(candidateID)
        crc.update(Int64(promptIndex))
        crc.update(seed)
        crc.update(denoiseSeconds.bitPattern)
        crc.update(decodeSeconds.bitPattern)
        crc.update(hasReferenceSeconds ? 1 : 0)
        if hasReferenceSeconds { crc.update(referenceSeconds.bitPattern) }
        crc.update(scores.count)
        let ordered = scores.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        for (scorer, score) in ordered {
            crc.update(scorer.utf8.count)
            crc.update(bytes: scorer.utf8)
            crc.update(score.bitPattern)
        }
        crc.update(hasPng ? 1 : 0)
        if hasPng {
            crc.update(png.count)
            crc.update(bytes: png)
        }
    }
}
