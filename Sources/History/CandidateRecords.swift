/// A candidate about to be entered in the history.
public struct NewCandidate: Sendable {
    /// Packed bits in the published gene order: gene g is bit g % 8, lowest first, of byte g / 8; 1 = recompute.
    public var genome: [UInt8]
    /// SHA-256 of the genome's ASCII '0'/'1' string, 64 hexadecimal digits.
    public var genomeSHA256: String
    /// Equal for genomes that make the same images; unique within a run's search.
    public var canonicalHash: String
    /// First parent.
    public var parentA: Int64?
    /// Second parent.
    public var parentB: Int64?
    /// The operator that bred it, `nil` for a seed of the search.
    public var `operator`: String?
    /// Where it comes from: a heuristic's name, `random`, `offspring`, a file.
    public var origin: String
    /// Multiply-accumulate operations of one image's denoising.
    public var macs: Int64?
    /// First step without guidance of a TGATE schedule, from 1; only benchmarks have such.
    public var gateStep: Int?
    /// A candidate of another run of the file with the same images, whose scores and timings this one takes over.
    public var measuredAs: Int64?

    /// Describes a candidate.
    ///
    /// - Parameters:
    ///   - genome: Packed bits in the published gene order, lowest bit first.
    ///   - genomeSHA256: SHA-256 of the ASCII '0'/'1' string, 64 hexadecimal digits.
    ///   - canonicalHash: Equal for genomes that make the same images.
    ///   - parentA: First parent.
    ///   - parentB: Second parent.
    ///   - operator: The operator that bred it.
    ///   - origin: Where it comes from.
    ///   - macs: Multiply-accumulate operations of one image's denoising.
    ///   - gateStep: First step without guidance of a TGATE schedule.
    ///   - measuredAs: A candidate of another run of the file, whose scores and timings this one takes over.
    public init(
        genome: [UInt8], genomeSHA256: String, canonicalHash: String, parentA: Int64? = nil, parentB: Int64? = nil,
        operator: String? = nil, origin: String, macs: Int64? = nil, gateStep: Int? = nil, measuredAs: Int64? = nil
    ) {
        self.genome = genome
        self.genomeSHA256 = genomeSHA256
        self.canonicalHash = canonicalHash
        self.parentA = parentA
        self.parentB = parentB
        self.operator = `operator`
        self.origin = origin
        self.macs = macs
        self.gateStep = gateStep
        self.measuredAs = measuredAs
    }
}

/// A candidate's totals over one evaluation set.
public struct EvaluationTotals: Hashable, Sendable {
    /// The run's cost objective, minimised.
    public var cost: Double
    /// The run's quality objective, maximised.
    public var quality: Double
    /// Measured candidate seconds / uncached seconds.
    public var latencyRatio: Double?
    /// The same ratio from the cost table.
    public var modelledRatio: Double?
    /// Multiply-accumulate operations of one image's denoising.
    public var macs: Int64?
    /// Images that the totals rest on.
    public var images: Int
    /// Denoising seconds, summed over the images.
    public var denoiseSeconds: Double
    /// Denoising seconds of the uncached reference, summed over the images.
    public var referenceSeconds: Double

    /// Describes a finished evaluation.
    ///
    /// - Parameters:
    ///   - cost: The run's cost objective, minimised.
    ///   - quality: The run's quality objective, maximised.
    ///   - latencyRatio: Measured candidate seconds / uncached seconds.
    ///   - modelledRatio: The same ratio from the cost table.
    ///   - macs: Multiply-accumulate operations of one image's denoising.
    ///   - images: Images that the totals rest on.
    ///   - denoiseSeconds: Denoising seconds, summed over the images.
    ///   - referenceSeconds: Denoising seconds of the uncached reference, summed over the images.
    public init(
        cost: Double, quality: Double, latencyRatio: Double? = nil, modelledRatio: Double? = nil, macs: Int64? = nil,
        images: Int, denoiseSeconds: Double, referenceSeconds: Double
    ) {
        self.cost = cost
        self.quality = quality
        self.latencyRatio = latencyRatio
        self.modelledRatio = modelledRatio
        self.macs = macs
        self.images = images
        self.denoiseSeconds = denoiseSeconds
        self.referenceSeconds = referenceSeconds
    }
}

/// A candidate as the history holds it.
public struct CandidateRecord: Hashable, Sendable {
    /// The row's identity; rises in the order in which the search asked.
    public let id: Int64
    /// The run it belongs to.
    public let runID: Int64
    /// The generation that asked for it; `nil` for a schedule that was only benchmarked.
    public let generation: Int?
    /// The benchmarked schedule's name.
    public let label: String?
    /// Packed bits, as in `NewCandidate`.
    public let genome: [UInt8]
    /// SHA-256 of the ASCII '0'/'1' string.
    public let genomeSHA256: String
    /// Equal for genomes that make the same images.
    public let canonicalHash: String
    /// First parent.
    public let parentA: Int64?
    /// Second parent.
    public let parentB: Int64?
    /// The operator that bred it.
    public let `operator`: String?
    /// Where it comes from.
    public let origin: String
    /// Multiply-accumulate operations of one image's denoising.
    public let macs: Int64?
    /// First step without guidance of a TGATE schedule that was benchmarked.
    public let gateStep: Int?
    /// The totals over the calibration set once they are known.
    public let evaluation: EvaluationTotals?
}

/// A row of the front, in the order of rising speed-up.
public struct FrontRecord: Hashable, Sendable {
    /// The candidate.
    public let candidateID: Int64
    /// The generation that asked for it.
    public let generation: Int
    /// Uncached seconds / candidate seconds: modelled where that is the run's cost, else measured.
    public let speedup: Double?
    /// Its inverse.
    public let latencyRatio: Double?
    /// Candidate seconds / uncached seconds as measured.
    public let measuredRatio: Double?
    /// Multiply-accumulate operations of one image's denoising.
    public let macs: Int64?
    /// The run's cost objective.
    public let cost: Double
    /// The run's quality objective.
    public let quality: Double
    /// Images that the values rest on.
    public let images: Int
}
