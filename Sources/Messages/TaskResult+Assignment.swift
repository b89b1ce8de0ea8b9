extension TaskResult {
    /// The result of a task as its assignment asks for it: an image of every candidate for every item.
    ///
    /// - Parameters:
    ///   - assignment: The task.
    ///   - seconds: What the whole task took.
    ///   - measure: Fills in scores and times of one image, in the order of candidates and items.
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

extension AssignedCandidate {
    /// A number that differs between schedules and is the same everywhere: the FNV-1a hash of the genome.
    ///
    /// Simulated workers make up their scores from it.
    package var genomeHash: UInt64 { genome.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 } }
}
