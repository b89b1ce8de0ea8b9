import Foundation

/// Samples of the published prompt sets, which are not part of the checkout.
///
/// Read from `prompts` in the directory ECAD_SHARED_DATA, by default `../shared/data` next to the checkout.
enum PublishedPromptSets {
    static let folder: URL? = {
        let checkout = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL
        let data =
            ProcessInfo.processInfo.environment["ECAD_SHARED_DATA"].map { URL(filePath: $0) }
            ?? checkout.appending(path: "../shared/data").standardizedFileURL
        let folder = data.appending(path: "prompts")
        return FileManager.default.fileExists(atPath: folder.path) ? folder : nil
    }()

    static var arePresent: Bool { folder != nil }

    static func path(_ name: String) -> String {
        (folder ?? URL(filePath: "/")).appending(path: name).path
    }
}
