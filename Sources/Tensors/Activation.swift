import CKernels

/// An elementwise nonlinearity.
public enum Activation: Sendable, CaseIterable {
    /// The identity.
    case none
    /// `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`: diffusers' `gelu-approximate`, transformers' `gelu_new`.
    case geluTanh
    /// `x (1 + erf(x / √2)) / 2`: the exact GELU of BERT and ViT.
    case gelu
    /// `x sigmoid(1.702 x)`: CLIP's approximation.
    case quickGelu
    /// `x sigmoid(x)`.
    case silu
    /// `max(x, 0)`.
    case relu

    var kernelActivation: ck_activation {
        switch self {
        case .none: CK_NONE
        case .geluTanh: CK_GELU_TANH
        case .gelu: CK_GELU
        case .quickGelu: CK_QUICK_GELU
        case .silu: CK_SILU
        case .relu: CK_RELU
        }
    }
}
