import Basics
import Foundation
import Messages

/// Results that the coordinator has not acknowledged, on disk: they outlive the worker's process.
///
/// A file `RUN.TASK.EPOCH.result` for each, with the message as it is sent. Files of other runs stay for a week, since
/// their coordinator may come back.
struct Spool {
    /// Names a result.
    struct Key: Hashable {
        let task: Int64
        let epoch: Int64
    }

    private static let keptSeconds = 7 * 86_400.0

    let folder: String

    /// Opens a spool, making its folder if need be, and forgets what nobody has wanted for a week.
    ///
    /// - Throws: ``WorkerError/spool(path:reason:)``.
    init(folder: String) throws {
        self.folder = folder
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasSuffix(".result") {
                let path = "\(folder)/\(name)"
                let date = try? FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
                if let date, -date.timeIntervalSinceNow > Self.keptSeconds {
                    try FileManager.default.removeItem(atPath: path)
                }
            }
        } catch {
            throw WorkerError.spool(path: folder, reason: error.localizedDescription)
        }
    }

    /// Keeps a result; it is on disk when the call returns.
    ///
    /// - Throws: ``WorkerError/spool(path:reason:)``.
    func keep(_ bytes: [UInt8], _ key: Key, run: String) throws {
        do {
            try FileContents.write([bytes], to: path(of: key, run: run), mode: 0o600)
        } catch {
            throw WorkerError.spool(path: error.path, reason: error.problem)
        }
    }

    /// Forgets a result that has been acknowledged.
    func forget(_ key: Key, run: String) { unlink(path(of: key, run: run)) }

    /// Removes the folder if nothing is kept in it.
    func removeIfEmpty() { rmdir(folder) }

    /// The results of a run that an earlier process of this worker left.
    ///
    /// Files that are damaged are removed: their tasks are computed again.
    func results(of run: String) -> [Key: [UInt8]] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        var results: [Key: [UInt8]] = [:]
        for name in names where name.hasSuffix(".result") && name.hasPrefix(Self.prefix(run)) {
            let path = "\(folder)/\(name)"
            guard let data = FileManager.default.contents(atPath: path),
                case .taskResult(let result)? = try? WorkerMessage.decode(Array(data))
            else {
                unlink(path)
                continue
            }
            results[Key(task: result.taskID, epoch: result.leaseEpoch)] = Array(data)
        }
        return results
    }

    private func path(of key: Key, run: String) -> String {
        "\(folder)/\(Self.prefix(run))\(key.task).\(key.epoch).result"
    }

    /// A coordinator's word in a file's name is kept to what cannot lead anywhere.
    private static func prefix(_ run: String) -> String {
        String(
            run.unicodeScalars.map {
                $0.isASCII && $0.properties.isAlphabetic || ("0"..."9").contains($0) ? Character($0) : "-"
            })
            + "."
    }
}
