import Glibc

/// Writes a file so that its name shows either the old content or the whole new one, also after a crash.
func writeAtomically(_ chunks: [[UInt8]], to path: String) throws {
    let partial = "\(path).\(getpid()).partial"
    let descriptor = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw TensorsError.unwritable(file: path, reason: systemMessage()) }
    do {
        do {
            defer { close(descriptor) }
            for chunk in chunks { try writeAll(chunk, to: descriptor, path: path) }
            guard fsync(descriptor) == 0 else { throw TensorsError.unwritable(file: path, reason: systemMessage()) }
        }
        guard rename(partial, path) == 0 else { throw TensorsError.unwritable(file: path, reason: systemMessage()) }
    } catch {
        unlink(partial)
        throw error
    }
}

private func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws {
    try bytes.withUnsafeBytes { buffer in
        var position = 0
        while position < buffer.count {
            let rest = UnsafeRawBufferPointer(rebasing: buffer[position...])
            let written = write(descriptor, rest.baseAddress, rest.count)
            if written < 0 && errno == EINTR { continue }
            guard written >= 0 else { throw TensorsError.unwritable(file: path, reason: systemMessage()) }
            position += written
        }
    }
}
