import FoundationEssentials

extension BlobReference {
    /// The length of a SHA-256 digest.
    static let digestByteCount = 32
}

extension MessageLimits {
    func check(digest: Data, _ name: String) throws(MessageError) {
        guard digest.count == BlobReference.digestByteCount else {
            throw .field(name: name, expected: "\(BlobReference.digestByteCount) bytes", found: "\(digest.count)")
        }
    }
}
