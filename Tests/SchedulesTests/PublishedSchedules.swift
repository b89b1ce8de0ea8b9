import Foundation
import Schedules

/// The published schedule files, for the tests that compare with them where they are at hand.
///
/// They lie in `ecad-schedules` of the folder that ECAD_SHARED_DATA names, or of `../shared/data` beside the checkout.
enum PublishedSchedules {
    static let folder: URL? = {
        let checkout = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
        let data =
            ProcessInfo.processInfo.environment["ECAD_SHARED_DATA"].map { URL(filePath: $0) }
            ?? checkout.appending(path: "../shared/data").standardizedFileURL
        let folder = data.appending(path: "ecad-schedules")
        return FileManager.default.fileExists(atPath: folder.path) ? folder : nil
    }()

    static var arePresent: Bool { folder != nil }

    /// Paths of all files below a folder of the collection, relative to the collection.
    static func paths(below prefix: String = "") -> [String] {
        guard let folder, let all = FileManager.default.enumerator(atPath: folder.path) else { return [] }
        return all.compactMap { $0 as? String }.filter { $0.hasSuffix(".json") && $0.hasPrefix(prefix) }.sorted()
    }

    static func url(_ path: String) -> URL {
        (folder ?? URL(filePath: "/")).appending(path: path)
    }

    static func read(_ path: String) throws -> ScheduleFile {
        try ScheduleFile(path: url(path).path)
    }
}
