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

extension Component {
    /// The size of the component's output.
    public var extent: ComponentExtent {
        switch self {
        case .attn1, .attn2, .ff, .fullAttn, .singleAttn, .singleProjOut: .tokens
        case .fullFF: .imageTokens
        case .fullFFContext: .textTokens
        case .singleProjMLP: .expandedTokens
        }
    }
}

/// A kind of transformer block, which determines its components.
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

/// What a transformer block does about one component at one denoising step.
public enum ComponentAction: Sendable, Equatable {
    /// Computes the output; no later step needs it.
    case compute
    /// Computes the output into a cache slot, where later steps read it.
    case computeAndKeep(slot: Int)
    /// Uses the output that an earlier step stored in a cache slot.
    case reuse(slot: Int)
    /// Does nothing: neither this step nor a later one consumes the output.
    case skip

    /// Whether the component's own computation runs.
    public var isComputed: Bool {
        switch self {
        case .compute, .computeAndKeep: true
        case .reuse, .skip: false
        }
    }
}

/// The size of a component's output; outputs of the same extent can share a cache slot.
public enum ComponentExtent: Sendable, Hashable {
    /// D channels for each token: PixArt's image tokens, FLUX's text and image tokens.
    case tokens
    /// D channels for each image token of FLUX.
    case imageTokens
    /// D channels for each text token of FLUX.
    case textTokens
    /// 4 D channels for each text and image token of FLUX.
    case expandedTokens
}
