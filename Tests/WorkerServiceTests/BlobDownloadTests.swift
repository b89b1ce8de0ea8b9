import Basics
import Foundation
import Messages
import Testing

@testable import WorkerService

@Suite struct BlobDownloadTests {
    private let content = Data((0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) })

    private var reference: BlobReference {
        var hash = SHA256()
        hash.update(content)
        var reference = BlobReference()
        reference.sha256 = Data(hash.finish())
        reference.byteCount = UInt64(content.count)
        return reference
    }

    private func chunk(_ range: Range<Int>, of content: Data? = nil) -> BlobChunk {
        var chunk = BlobChunk()
        chunk.sha256 = reference.sha256
        chunk.offset = UInt64(range.lowerBound)
        chunk.content = Data((content ?? self.content)[range])
        return chunk
    }

    private func expectFailure(_ download: BlobDownload, _ chunk: BlobChunk, _ text: String) {
        var download = download
        do {
            _ = try download.receive(chunk)
            Issue.record("expected an error containing \"\(text)\"")
        } catch {
            #expect("\(error)".contains(text) && !"\(error)".contains("\n"), "\(error)")
        }
    }

    @Test func chunksFormTheFileAndDuplicatesAreIgnored() throws {
        var download = try BlobDownload(reference)
        #expect(download.request.offset == 0 && download.request.sha256 == reference.sha256)
        #expect(try download.receive(chunk(0..<400)) == .incomplete)
        #expect(download.request.offset == 400)
        #expect(try download.receive(chunk(0..<400)) == .ignored)
        #expect(try download.receive(chunk(500..<600)) == .ignored)
        var foreign = chunk(400..<500)
        foreign.sha256 = Data(repeating: 1, count: 32)
        #expect(try download.receive(foreign) == .ignored)
        #expect(try download.receive(chunk(400..<999)) == .incomplete)
        guard case .finished(let path) = try download.receive(chunk(999..<1000)) else {
            Issue.record("expected a finished download")
            return
        }
        #expect(FileManager.default.contents(atPath: path) == content)
        try FileManager.default.removeItem(atPath: path)
    }

    @Test func contentWithAnotherHashIsRejected() throws {
        var damaged = content
        damaged[17] ^= 1
        expectFailure(try BlobDownload(reference), chunk(0..<1000, of: damaged), "corrupted")
    }

    @Test func oversizedAndEmptyChunksAreRejected() throws {
        expectFailure(try BlobDownload(reference), chunk(0..<1001, of: content + [0]), "announced")
        expectFailure(try BlobDownload(reference), chunk(0..<0), "announced")
    }
}
