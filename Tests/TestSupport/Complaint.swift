/// The message of an error that a call threw.
public struct Complaint: CustomStringConvertible {
    /// The error's description; empty if there was no error.
    public let description: String

    /// Whether it is a single line that contains all fragments.
    public func isOneLine(naming fragments: String...) -> Bool { isOneLine(naming: fragments) }

    /// Whether it is a single line that contains all fragments.
    public func isOneLine(naming fragments: [String]) -> Bool {
        !description.isEmpty && !description.contains("\n") && fragments.allSatisfy(description.contains)
    }
}

/// Calls `body` and returns the message of the error that it throws.
public func complaint(of body: () throws -> some Any) -> Complaint {
    do {
        _ = try body()
        return Complaint(description: "")
    } catch {
        return Complaint(description: "\(error)")
    }
}
