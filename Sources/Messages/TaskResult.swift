import FoundationEssentials

extension TaskResult {
    /// Creates the result of an assignment, with one image for every candidate and item.
    ///
    /// - Parameters:
    ///   - assignment: The task.
    ///   - seconds: Wall-clock seconds of the whole task.
    ///   - measure: Fills in scores and times of one image; called in the order of candidates, then items.
    package init(
        of assignment: Assignment, seconds: Double,
        measure: (AssignedCandidate, inout ImageMeasurement) throws -> Void
    ) rethrows {
        self.init()
        taskID = assignment.taskID
        leaseEpoch = assignment.leaseEpoch
        taskSeconds = seconds
        for candidate in assignment.candidates {
            for item in assignment.items {
                var image = ImageMeasurement()
                image.candidateID = candidate.candidateID
                image.promptIndex = item.promptIndex
                image.seed = item.seed
                try measure(candidate, &image)
                images.append(image)
            }
        }
    }
}

extension TaskResult {
    /// CRC-32 of the content, independent of its encoding.
    ///
    /// Covers, in this order and little-endian: task, lease epoch, bits of the task seconds and the number of images;
    /// then for each image candidate, prompt, seed, bits of the denoising and decoding seconds, 1 and the bits of the
    /// reference seconds or 0, the number of scores, each score (sorted by the UTF-8 bytes of its name) as length, name
    /// and bits, 1, length and bytes of the PNG or 0, and length and bytes of the uncached image's PNG if there is one;
    /// last, if there are reuse errors, their length and bytes. Counts, lengths and flags are 8 bytes each.
    package var contentChecksum: UInt32 {
        var crc = CRC32()
        crc.update(taskID)
        crc.update(leaseEpoch)
        crc.update(taskSeconds.bitPattern)
        crc.update(images.count)
        for image in images { image.update(&crc) }
        if !reuseErrors.isEmpty {
            crc.update(reuseErrors.count)
            crc.update(bytes: reuseErrors)
        }
        return crc.value
    }

    /// Sets `checksum`; call it after the last change, before the result is stored or sent.
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
        if hasReferencePng {
            crc.update(referencePng.count)
            crc.update(bytes: referencePng)
        }
    }
}

extension AssignedCandidate {
    /// The FNV-1a hash of the genome, from which fake and simulated workers derive reproducible scores.
    package var genomeHash: UInt64 { genome.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } }
}
