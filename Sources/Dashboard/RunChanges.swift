import Foundation

/// Tells browsers which runs have changed, as server-sent events.
///
/// One poll of SQLite's data version for each run serves all streams. A stream keeps only its newest event, so that a slow
/// peer costs no memory.
actor RunChanges {
    private let runs: [RunPages]
    private var versions: [Int: Int64] = [:]
    private var streams: [Int: AsyncStream<Data>.Continuation] = [:]
    private var streamCount = 0
    private var poll: Task<Void, Never>?

    init(runs: [RunPages]) { self.runs = runs }

    /// A new stream; its first event says that the connection works.
    func stream() -> AsyncStream<Data> {
        let (stream, continuation) = AsyncStream.makeStream(of: Data.self, bufferingPolicy: .bufferingNewest(1))
        streamCount += 1
        let id = streamCount
        streams[id] = continuation
        continuation.onTermination = { _ in Task { await self.remove(id) } }
        continuation.yield(Data("retry: 2000\nevent: hello\ndata: {}\n\n".utf8))
        if poll == nil { poll = Task { await self.pollRuns() } }
        return stream
    }

    private func remove(_ id: Int) { streams[id] = nil }

    private func pollRuns() async {
        var silent = 0
        while !streams.isEmpty {
            var changed = false
            for (index, run) in runs.enumerated() {
                guard let version = try? await run.version() else { continue }
                if versions.updateValue(version, forKey: index) ?? version != version { changed = true }
            }
            silent = changed ? 0 : silent + 1
            // An event without content now and then shows which peers are gone.
            let text =
                changed ? "event: change\ndata: \(Self.encoded(versions))\n\n" : silent % 30 == 29 ? ": idle\n\n" : nil
            if let text { for stream in streams.values { stream.yield(Data(text.utf8)) } }
            try? await Task.sleep(for: .milliseconds(500))
        }
        poll = nil
    }

    /// Versions by the number of the run; a peer that missed events still sees which runs have changed.
    private static func encoded(_ versions: [Int: Int64]) -> String {
        "{" + versions.sorted { $0.key < $1.key }.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",") + "}"
    }
}
