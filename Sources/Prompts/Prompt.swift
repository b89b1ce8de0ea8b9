/// A text to make an image of, with what its set says about it.
public struct Prompt: Hashable, Sendable {
    /// The text; never empty, no white space around it.
    public let text: String
    /// The group that the set puts it in, such as "Animals"; nil where the set has none.
    public let category: String?
    /// The set's name for it; nil where the set has none.
    public let identity: String?

    /// Describes a prompt.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - category: The group that the set puts it in.
    ///   - identity: The set's name for it.
    public init(text: String, category: String? = nil, identity: String? = nil) {
        self.text = text
        self.category = category
        self.identity = identity
    }
}
