/// The program that computes the images of a run; different engines do not give the same numbers.
public enum Engine: String, Sendable, CaseIterable, CustomStringConvertible {
    /// This project's own engine for CPUs, `ecad-worker`.
    case native
    /// diffusers and PyTorch, on GPUs and CPUs, `ecad-torch-worker`.
    case torch

    /// The name, as in configurations, messages and histories.
    public var description: String { rawValue }

    /// The command by which a worker with this engine joins.
    public var workerCommand: String {
        switch self {
        case .native: "ecad-worker run"
        case .torch: "ecad-torch-worker"
        }
    }
}

/// What the measurements of a run or of a benchmark are computed with; only measurements of one arithmetic are compared.
public struct Arithmetic: Sendable, Hashable, CustomStringConvertible {
    /// The program.
    public var engine: Engine
    /// The number format of the matrix products.
    public var precision: Precision

    /// The native engine in float32 unless stated otherwise.
    public init(engine: Engine = .native, precision: Precision = .float32) {
        self.engine = engine
        self.precision = precision
    }

    /// Such as "torch, bfloat16".
    public var description: String { "\(engine), \(precision)" }

    /// The largest root mean square difference between two workers' canaries, relative to the canary itself.
    ///
    /// A canary consists of final latents of an uncached image. Faulty arithmetic changes everything: the difference is of
    /// the order of 1. Sound workers differ by rounding. Natively it is below 1e-3 between processors and BLAS kernels in
    /// float32; products in bfloat16 have float32 sums in the order of one kernel, so that only the rest differs. In PyTorch
    /// it is 1e-6 between kernels (with oneDNN and without it) in float32. In bfloat16 the residual stream, norms and
    /// attention are rounded as well: 0.007 to 0.03 between kernels (0.03 to 0.24 from float32, where all kernels round
    /// alike). `scripts/engine_agreement.py` measures the figures of PyTorch on the bundled models.
    public var canaryTolerance: Double {
        switch (engine, precision) {
        case (.native, _), (.torch, .float32): 0.01
        case (.torch, .bfloat16): 0.2
        }
    }

    /// The least share of a task's scores on which two workers must agree, within the scorer's tolerance.
    ///
    /// All of them in general. In PyTorch's bfloat16 a single image may come out differently where another rounding tips it
    /// over, uncached or under a schedule: its score then differs by any amount (43 times the tolerance of SSIM), while
    /// the median difference between kernels is at most a third of the tolerance (`scripts/engine_agreement.py`).
    public var agreeingShare: Double { engine == .torch && precision == .bfloat16 ? 0.5 : 1 }
}
