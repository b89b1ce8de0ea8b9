import FoundationEssentials

/// Whole files, with errors of one line.
enum FileContents {
    /// True when there is a file or folder.
    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Reads a file.
    ///
    /// - Throws: ``SchedulesError/file(file:problem:)``.
    static func read(_ path: String) throws(SchedulesError) -> [UInt8] {
        do {
            return Array(try Data(contentsOf: URL(filePath: path)))
        } catch {
            throw .file(file: path, problem: "cannot be read: \(reason(error))")
        }
    }

    /// Writes a file, replacing what the path holds.
    ///
    /// - Throws: ``SchedulesError/file(file:problem:)``.
    static func write(_ bytes: some Sequence<UInt8>, to path: String) throws(SchedulesError) {
        do {
            try Data(bytes).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw .file(file: path, problem: "cannot be written: \(reason(error))")
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch (error as? CocoaError)?.code {
        case .fileReadNoSuchFile?, .fileNoSuchFile?: "no such file or folder"
        case .fileReadNoPermission?, .fileWriteNoPermission?: "permission denied"
        default: "\(error)"
        }
    }
}
