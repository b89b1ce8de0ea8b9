/// What a call's error says.
public struct Complaint: CustomStringConvertible {
    /// The error's description; empty if there was no error.
    public let description: String

    /// Whether it is one line that names all of these.
    public func isOneLine(naming fragments: String...) -> Bool { isOneLine(naming: fragments) }

    /// Whether it is one line that names all of these.
    public func isOneLine(naming fragments: [String]) -> Bool {
        !description.isEmpty && !description.contains("\n") && fragments.allSatisfy(description.contains)
    }
}

/// Makes a call that should fail, and catches what it throws.
public func complaint(of body: () throws -> some Any) -> Complaint {
    do {
        _ = try body()
        return Complaint(description: "")
    } catch {
        return Complaint(description: "\(error)")
    }
}
