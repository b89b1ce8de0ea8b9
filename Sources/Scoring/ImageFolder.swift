import Foundation

/// A directory of images, in natural order of their names.
public struct ImageFolder: Sendable {
    /// PNG and JPEG, and formats that cannot be read: to leave them out silently would change what is scored.
    private static let extensions: Set<String> = [
        "png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic",
    ]

    /// Path of the directory.
    public let path: String
    /// File names; numbers in them are compared by value, so that `img_2.png` comes before `img_10.png`.
    public let names: [String]
    /// Number of subdirectories, which are not read.
    public let subdirectoryCount: Int

    /// Lists a directory without its subdirectories and hidden files.
    ///
    /// - Throws: ``ScoringError/unreadable(folder:reason:)``, ``ScoringError/noImages(folder:subdirectories:)``.
    public init(path: String) throws {
        self.path = path
        let manager = FileManager.default
        func isDirectory(_ path: String) -> Bool? {
            var isDirectory: ObjCBool = false
            return manager.fileExists(atPath: path, isDirectory: &isDirectory) ? isDirectory.boolValue : nil
        }
        guard let isFolder = isDirectory(path) else {
            throw ScoringError.unreadable(folder: path, reason: "no such directory")
        }
        guard isFolder else { throw ScoringError.unreadable(folder: path, reason: "is a file") }
        guard let entries = try? manager.contentsOfDirectory(atPath: path).filter({ !$0.hasPrefix(".") }) else {
            throw ScoringError.unreadable(folder: path, reason: "permission denied")
        }
        let folders = entries.filter { isDirectory("\(path)/\($0)") == true }
        subdirectoryCount = folders.count
        names = Set(entries).subtracting(folders)
            .filter { Self.extensions.contains(URL(fileURLWithPath: $0).pathExtension.lowercased()) }
            .sorted(by: naturallyPrecedes)
        guard !names.isEmpty else { throw ScoringError.noImages(folder: path, subdirectories: subdirectoryCount) }
    }

    /// Path of an image.
    func file(_ name: String) -> String { "\(path)/\(name)" }

    /// The reference image of each image: the file of the same name, or of the same name with another extension.
    ///
    /// - Returns: File names of `references` in the order of ``names``; nil where there is none.
    /// - Throws: ``ScoringError/pairing(_:)`` if two files are equally good, or no image has a reference.
    func counterparts(in references: ImageFolder) throws -> [String?] {
        let exact = Set(references.names)
        let byStem = Dictionary(grouping: references.names, by: stem)
        var owners: [String: String] = [:]
        let found = try names.map { name -> String? in
            let candidates = exact.contains(name) ? [name] : byStem[stem(name)] ?? []
            guard candidates.count < 2 else {
                throw ScoringError.pairing(
                    "\(file(name)): \(candidates[0]) and \(candidates[1]) in \(references.path) have the same name; "
                        + "expected one of them")
            }
            guard let reference = candidates.first else { return nil }
            if let owner = owners.updateValue(name, forKey: reference) {
                throw ScoringError.pairing(
                    "\(path): \(owner) and \(name) have the same reference image, \(references.file(reference)); "
                        + "expected one of them")
            }
            return reference
        }
        guard found.contains(where: { $0 != nil }) else {
            throw ScoringError.pairing(
                "\(references.path): no reference image has the name of an image in \(path); expected, for example, "
                    + names[0])
        }
        return found
    }
}

/// A file name without its extension.
func stem(_ name: String) -> String { String(name[..<(name.lastIndex(of: ".") ?? name.endIndex)]) }

/// Whether a name precedes another if runs of digits are compared by value and the rest by bytes.
func naturallyPrecedes(_ first: String, _ second: String) -> Bool {
    let (a, b) = (Array(first.utf8), Array(second.utf8))
    func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
    var (i, j) = (0, 0)
    while i < a.count, j < b.count {
        guard isDigit(a[i]), isDigit(b[j]) else {
            if a[i] != b[j] { return a[i] < b[j] }
            (i, j) = (i + 1, j + 1)
            continue
        }
        let (left, right) = (a[i...].prefix(while: isDigit), b[j...].prefix(while: isDigit))
        let (x, y) = (left.drop { $0 == 48 }, right.drop { $0 == 48 })
        if x.count != y.count { return x.count < y.count }
        if !x.elementsEqual(y) { return x.lexicographicallyPrecedes(y) }
        (i, j) = (i + left.count, j + right.count)
    }
    if a.count - i != b.count - j { return a.count - i < b.count - j }
    return a.lexicographicallyPrecedes(b)
}
