/// Bounds on what a peer may send, so that no message can exhaust the receiver.
///
/// They lie far above anything a run needs; a message beyond them is a mistake or an attack.
package struct MessageLimits: Sendable {
    /// Encoded size of one message, of which a result that returns images is the largest.
    package var messageBytes = 64 << 20
    /// Fields in a message's body: rows of a result, prompts of a run, candidates and items of a task together.
    package var elements = 100_000
    /// UTF-8 length of any text.
    package var textBytes = 16_384
    /// Length of one packed genome.
    package var genomeBytes = 65_536
    /// Scorers of a run, and so scores of one image.
    package var scorers = 64
    /// Numbers in a canary.
    package var canaryValues = 4_096

    /// The bounds both programs use, to be changed.
    package init() {}

    /// The bounds both programs use.
    package static let standard = MessageLimits()
}
