import Foundation
import GRDB

/// The transaction that calls on a history join while one is open on their thread.
final class TransactionGroup: Sendable {
    // Set and read on the thread that opened the group alone: other threads see none.
    nonisolated(unsafe) private var database: Database?
    nonisolated(unsafe) private var owner: pthread_t?
    private let lock = NSLock()

    /// The open transaction, if this thread opened it.
    var current: Database? {
        lock.withLock {
            guard let owner, pthread_equal(owner, pthread_self()) != 0 else { return nil }
            return database
        }
    }

    func enter(_ database: Database) {
        lock.withLock {
            self.database = database
            owner = pthread_self()
        }
    }

    func leave() {
        lock.withLock {
            database = nil
            owner = nil
        }
    }
}
