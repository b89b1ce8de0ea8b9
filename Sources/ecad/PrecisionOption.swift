import ArgumentParser
import Basics
import Tensors

/// The option `--precision` of commands that run a model.
struct PrecisionOption: ParsableArguments {
    /// A precision, or the choice by processor.
    enum Choice: String, ExpressibleByArgument, CaseIterable {
        case float32, bfloat16, auto
    }

    @Option(
        help: ArgumentHelp(
            "Number format of the matrix products in transformer and decoder: float32, bfloat16 or auto.",
            discussion: "auto is bfloat16 on processors with AVX512_BF16, otherwise float32."))
    var precision = Choice.float32

    /// The precision for this processor.
    var resolved: Precision {
        switch precision {
        case .float32: .float32
        case .bfloat16: .bfloat16
        case .auto: .fastest
        }
    }
}
