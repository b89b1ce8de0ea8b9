import Foundation

/// One value handed from thread to thread.
final class Mailbox<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value?

    func put(_ value: Value) { lock.withLock { self.value = value } }

    func take() -> Value? {
        lock.withLock {
            defer { value = nil }
            return value
        }
    }
}
