import Basics
import Foundation
import Messages

/// Unacknowledged results on disk, which survive a crash of the worker.
///
/// Each is a file `RUN.TASK.EPOCH.result` with the encoded message. Files of other runs are retained for a week, since
/// those runs may be resumed.
struct Spool {
    struct Key: Hashable {
        let task: Int64
        let epoch: Int64
    }

    private static let retentionSeconds = 7 * 86_400.0

    private let folder: String

    /// Opens the spool; creates its folder if missing and deletes files older than a week.
    ///
    /// - Throws: ``WorkerError/spool(path:reason:)``.
    init(folder: String) throws {
        self.folder = folder
        do {
            try FileContents.createDirectory(folder)
            for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasSuffix(".result") {
                let path = "\(folder)/\(name)"
                let date = try? FileManager.default.attributesOfItem(atPath: path)[.modificationDate] as? Date
                if let date, -date.timeIntervalSinceNow > Self.retentionSeconds {
                    try FileManager.default.removeItem(atPath: path)
                }
            }
        } catch let error as FileError {
            throw WorkerError.spool(path: error.path, reason: "\(error.problem); choose another directory with --spool")
        } catch {
            throw WorkerError.spool(path: folder, reason: "\(systemErrorText()); choose another directory with --spool")
        }
    }

    /// Writes a result and syncs it to disk.
    ///
    /// - Throws: ``WorkerError/spool(path:reason:)``.
    func store(_ bytes: [UInt8], _ key: Key, run: String) throws {
        do {
            try FileContents.write([bytes], to: path(of: key, run: run), mode: 0o600)
        } catch {
            throw WorkerError.spool(path: error.path, reason: error.problem)
        }
    }

    /// Deletes an acknowledged result.
    func remove(_ key: Key, run: String) { unlink(path(of: key, run: run)) }

    /// Removes the folder if it is empty.
    func removeIfEmpty() { rmdir(folder) }

    /// Reads the results of a run that an earlier process stored.
    ///
    /// Corrupted files are deleted; the coordinator assigns their tasks again.
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

    /// Replaces characters that could make a run id a path.
    private static func prefix(_ run: String) -> String {
        String(
            run.unicodeScalars.map {
                $0.isASCII && $0.properties.isAlphabetic || ("0"..."9").contains($0) ? Character($0) : "-"
            })
            + "."
    }
}
