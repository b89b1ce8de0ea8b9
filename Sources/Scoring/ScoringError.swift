/// What can be wrong with images that are to be scored.
public enum ScoringError: Error, Equatable, CustomStringConvertible {
    /// Two images that are to be compared differ in size.
    case imageSize(expected: String, found: String)

    /// One line that says what was expected.
    public var description: String {
        switch self {
        case .imageSize(let expected, let found):
            "an image of \(found) pixels cannot be compared with one of \(expected)"
        }
    }
}
