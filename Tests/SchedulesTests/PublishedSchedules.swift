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

    /// A file and its path in the collection.
    struct Published: Sendable {
        let path: String
        let file: ScheduleFile
    }

    /// All files, read once.
    static let all = Result { () throws -> [Published] in
        guard let folder, let paths = FileManager.default.enumerator(atPath: folder.path) else { return [] }
        return try paths.compactMap { $0 as? String }.filter { $0.hasSuffix(".json") }.sorted().map {
            Published(path: $0, file: try ScheduleFile(path: url($0).path))
        }
    }

    static func url(_ path: String) -> URL {
        (folder ?? URL(filePath: "/")).appending(path: path)
    }

    static func file(_ path: String) throws -> ScheduleFile? {
        try all.get().first { $0.path == path }?.file
    }
}
