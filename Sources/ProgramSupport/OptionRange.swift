import ArgumentParser

/// Refuses a whole number outside of an option's range.
///
/// - Parameters:
///   - name: The option, such as `--steps`.
///   - value: What was given.
///   - range: What is allowed.
/// - Throws: `ValidationError`.
public func requireOption(_ name: String, _ value: Int, in range: ClosedRange<Int>) throws {
    guard range.contains(value) else {
        throw ValidationError("\(name) \(value): expected \(range.lowerBound) to \(range.upperBound)")
    }
}

/// Refuses a number outside of an option's range, or none.
///
/// - Parameters:
///   - name: The option, such as `--seconds`.
///   - value: What was given.
///   - range: What is allowed.
/// - Throws: `ValidationError`.
public func requireOption(_ name: String, _ value: Double, in range: ClosedRange<Double>) throws {
    guard range.contains(value) else {
        func text(_ value: Double) -> String { Int(exactly: value).map(String.init) ?? "\(value)" }
        throw ValidationError("\(name) \(text(value)): expected \(text(range.lowerBound)) to \(text(range.upperBound))")
    }
}
