/// A part of a transformer block whose output can be cached between denoising steps.
///
/// Raw values are the keys of the published schedule files.
public enum Component: String, CaseIterable, Codable, Sendable {
    /// PixArt self attention, after its output projection and before its gate.
    case attn1
    /// PixArt cross attention, after its output projection.
    case attn2
    /// PixArt feed forward, before its gate.
    case ff
    /// FLUX joint attention of a double-stream block: its image and its text output.
    case fullAttn = "full_attn"
    /// FLUX feed forward of a double-stream block's image stream.
    case fullFF = "full_ff"
    /// FLUX feed forward of a double-stream block's text stream.
    case fullFFContext = "full_ff_context"
    /// FLUX attention of a single-stream block, which has no output projection of its own.
    case singleAttn = "single_attn"
    /// FLUX input half of a single-stream block's MLP, before GELU.
    case singleProjMLP = "single_proj_mlp"
    /// FLUX output projection of a single-stream block, over attention and MLP together.
    case singleProjOut = "single_proj_out"

    /// The kind of block that holds the component.
    public var blockKind: BlockKind {
        switch self {
        case .attn1, .attn2, .ff: .pixart
        case .fullAttn, .fullFF, .fullFFContext: .fluxFull
        case .singleAttn, .singleProjMLP, .singleProjOut: .fluxSingle
        }
    }

    /// Whether the component is an attention, self, cross or joint.
    public var isAttention: Bool {
        switch self {
        case .attn1, .attn2, .fullAttn, .singleAttn: true
        case .ff, .fullFF, .fullFFContext, .singleProjMLP, .singleProjOut: false
        }
    }

    /// Position among the components of its block, 0 to 2, in published order.
    public var slot: Int {
        switch self {
        case .attn1, .fullAttn, .singleAttn: 0
        case .attn2, .fullFF, .singleProjMLP: 1
        case .ff, .fullFFContext, .singleProjOut: 2
        }
    }
}

/// A kind of transformer block, which fixes the components it is made of.
public enum BlockKind: String, CaseIterable, Codable, Sendable {
    /// A PixArt block: self attention, cross attention, feed forward.
    case pixart
    /// A FLUX double-stream block (diffusers: `transformer_blocks`).
    case fluxFull
    /// A FLUX single-stream block (diffusers: `single_transformer_blocks`).
    case fluxSingle

    /// Number of components in a block of any kind.
    public static let componentCount = 3

    /// The block's components, in published order.
    public var components: [Component] {
        switch self {
        case .pixart: [.attn1, .attn2, .ff]
        case .fluxFull: [.fullAttn, .fullFF, .fullFFContext]
        case .fluxSingle: [.singleAttn, .singleProjMLP, .singleProjOut]
        }
    }
}
