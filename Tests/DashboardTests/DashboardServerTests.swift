import Basics
import Foundation
import Glibc
import History
import JSON
import TestSupport
import Testing

@testable import Dashboard

/// A history with hostile texts, and a server on a free port.
private final class Served: Sendable {
    let folder: TemporaryFolder
    let history: RunHistory
    let run: Int64
    let candidates: [Int64]
    let port: UInt16
    private let task: Task<Void, any Error>

    static let prompt = "<script>alert(1)</script> \u{202E}\u{7} </script>"

    init() async throws {
        folder = try TemporaryFolder()
        history = try RunHistory.create(in: folder.path)
        run = try history.runs.create(
            NewRun(
                name: "<b>run</b>", configuration: "[model]\npath = \"models/shapes\"\n", costObjective: "macs",
                qualityObjective: "psnr", shape: #"{"steps": 2}"#,
                genes: (0..<12).map {
                    GeneCell(step: $0 / 6, block: $0 / 3 % 2, component: ["attn1", "attn2", "ff"][$0 % 3])
                },
                modelHash: "m", seed: 1, prompts: [Self.prompt, "a blue ball"]))
        let worker = try history.workers.upsert(
            WorkerDescription(
                name: "w\"1", host: "h", cpu: "c", blas: "b", threads: 1, engineVersion: "1"))
        let images = [ImageKey(prompt: 0, seed: 0), ImageKey(prompt: 1, seed: 0)]
        let work = try history.search.beginGeneration(
            0, of: run, searchState: [0],
            candidates: (0..<3).map { number in
                NewCandidate(
                    genome: [UInt8(number), 0x0F], genomeSHA256: String(repeating: "\(number)", count: 64),
                    canonicalHash: "\(number)", origin: number == 0 ? "fora-2" : "random", macs: 1000)
            },
            tasks: (0..<3).map { NewTask(candidates: [$0], images: images) })
        candidates = work.candidateIDs
        for (index, task) in work.taskIDs.enumerated() {
            _ = try history.results.commit(
                TaskResult(
                    taskID: task, workerID: worker,
                    scores: images.map {
                        ImageScore(
                            candidateID: work.candidateIDs[index], image: $0, scorer: "psnr", value: 20 + Double(index))
                    }, timings: [], seconds: 1))
            try history.search.recordEvaluations([
                (
                    work.candidateIDs[index],
                    EvaluationTotals(
                        cost: 0.25 * Double(index + 1), quality: 20 + Double(index), latencyRatio: 0.5, images: 2,
                        denoiseSeconds: 1, referenceSeconds: 2)
                )
            ])
        }
        try history.results.storeThumbnail([0x89, 0x50], of: nil, image: images[0], run: run)
        let address = try ListenAddress("127.0.0.1:0")
        let server = try DashboardServer(
            folders: [folder.path], address: address, policy: AccessPolicy(address: address, tokenFile: nil))
        let (ports, continuation) = AsyncStream.makeStream(of: UInt16.self)
        task = Task {
            try await server.run { url in
                continuation.yield(UInt16(url.dropLast().split(separator: ":").last ?? "") ?? 0)
            }
        }
        var found: UInt16 = 0
        for await port in ports {
            found = port
            break
        }
        port = found
    }

    deinit { task.cancel() }

    /// Blocks a thread that is not one of those on which the server runs.
    func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result(catching: body)) }
        }
    }

    /// Opens a stream of changes and waits for its first event; the task ends with whether `text` follows.
    func stream(until text: String) async throws -> Task<Bool, any Error> {
        let port = port
        @Sendable func read(_ socket: Int32, until text: String) -> Bool {
            var found = ""
            var buffer = [UInt8](repeating: 0, count: 4096)
            while !found.contains(text), case let count = recv(socket, &buffer, buffer.count, 0), count > 0 {
                found += String(decoding: buffer[..<count], as: UTF8.self)
            }
            return found.contains(text)
        }
        let socket = try await blocking {
            let socket = try Self.connect(port: port)
            let request = Array("GET /api/changes HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
            _ = send(socket, request, request.count, Int32(MSG_NOSIGNAL))
            try #require(read(socket, until: "event: hello"))
            return socket
        }
        return Task {
            defer { close(socket) }
            return try await self.blocking { read(socket, until: text) }
        }
    }

    func answer(_ request: String) async throws -> String {
        try await blocking { try Self.answer(request, port: self.port) }
    }

    static func connect(port: UInt16) throws -> Int32 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
        return socket
    }

    /// The whole answer to a request whose connection closes afterwards.
    private static func answer(_ request: String, port: UInt16) throws -> String {
        let socket = try connect(port: port)
        defer { close(socket) }
        let bytes = Array(request.utf8)
        _ = send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        var found: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while case let count = recv(socket, &buffer, buffer.count, 0), count > 0 { found += buffer[..<count] }
        return String(decoding: found, as: UTF8.self)
    }

    func object(_ path: String) async throws -> [String: Any] {
        let body = try await get(path).body
        return try #require(try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
    }

    func get(_ path: String) async throws -> (status: String, body: String) {
        let text = try await answer("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let parts = text.components(separatedBy: "\r\n\r\n")
        return (String(text.prefix { $0 != "\r\n" }), parts.dropFirst().joined(separator: "\r\n\r\n"))
    }
}

@Suite struct DashboardServerTests {
    @Test(arguments: RunPages.names) func everyPageIsJSON(name: String) async throws {
        let served = try await Served()
        let (status, body) = try await served.get("/api/0/\(name)")
        #expect(status.hasPrefix("HTTP/1.1 200"))
        _ = try JSONValue(parsing: body.utf8, file: name)
    }

    @Test func imagesOfBenchmarksAreNotThoseOfTheSearch() async throws {
        let served = try await Served()
        let before = try await served.object("/api/0/summary")
        #expect(before["search_images"] as? Int == 6 && before["images"] as? Int == 6)
        let work = try served.history.benchmarks.begin(
            on: "unseen", of: served.run, prompts: ["a"],
            entries: [
                NewBenchmarkEntry(
                    label: "other",
                    candidate: NewCandidate(
                        genome: [1, 0x0F], genomeSHA256: String(repeating: "f", count: 64), canonicalHash: "other",
                        origin: "fora-2", macs: 1))
            ], tasks: [NewTask(candidates: [0], images: [ImageKey(prompt: 0, seed: 0)])])
        let score = ImageScore(
            candidateID: work.candidateIDs[0], image: ImageKey(prompt: 0, seed: 0), scorer: "psnr", value: 1)
        let result = TaskResult(taskID: work.taskIDs[0], workerID: 1, scores: [score], timings: [], seconds: 1)
        #expect(try served.history.results.commit(result) == .committed)
        let after = try await served.object("/api/0/summary")
        #expect(after["search_images"] as? Int == 6 && after["images"] as? Int == 7)
    }

    @Test func imageRatesHaveIntervalsThatFitTheRun() async throws {
        let served = try await Served()
        let short = try await served.object("/api/0/progress")
        #expect(short["interval"] as? Int == 5)
        let counts = try #require(short["throughput"] as? [[Int]])
        #expect(counts.reduce(0) { $0 + $1[1] } == 6 && counts.last?.first == 0)
        let image = ImageKey(prompt: 0, seed: 0)
        let later = try served.history.search.beginGeneration(
            1, of: served.run, searchState: [0],
            candidates: [
                NewCandidate(
                    genome: [7, 0x0F], genomeSHA256: String(repeating: "7", count: 64), canonicalHash: "7",
                    origin: "random", macs: 1)
            ], tasks: (0..<2).map { _ in NewTask(candidates: [0], images: [image]) })
        let last = try #require(try await served.object("/api/0/summary")["last_result"] as? Double)
        for (task, delay) in zip(later.taskIDs, [250.0, 3670]) {
            let score = ImageScore(candidateID: later.candidateIDs[0], image: image, scorer: "psnr", value: 1)
            let result = TaskResult(taskID: task, workerID: 1, scores: [score], timings: [], seconds: 1)
            #expect(try served.history.results.commit(result, at: last + delay) == .committed)
        }
        let long = try await served.object("/api/0/progress")
        #expect(long["interval"] as? Int == 60)
        #expect(long["throughput"] as? [[Int]] == [[3660, 1], [240, 1], [0, 6]])
    }

    @Test func pointsContinueAfterTheLastOne() async throws {
        let served = try await Served()
        let all = try await served.object("/api/0/points")
        #expect(all["id"] as? [Int] == served.candidates.map(Int.init))
        let last = try #require(all["last"] as? Int)
        #expect(
            try await served.object("/api/0/points?after=\(last - 1)")["id"] as? [Int] == [Int(served.candidates[2])])
    }

    @Test func aSampleOfThePointsContainsTheFront() async throws {
        // All three are on the front: the cost rises with the quality. A dominated one is left out of the sample.
        let served = try await Served()
        let pages = try RunPages(folder: served.folder.path)
        for quality in [0.0, 0, 0, 0, 0] {
            let more = try served.history.search.beginGeneration(
                0, of: served.run, isContinued: true, searchState: [0],
                candidates: [
                    NewCandidate(
                        genome: [1, 1], genomeSHA256: String(repeating: "a", count: 64),
                        canonicalHash: UUID().uuidString,
                        origin: "random", macs: 1)
                ], tasks: [])
            try served.history.search.recordEvaluations([
                (
                    more.candidateIDs[0],
                    EvaluationTotals(cost: 0.9, quality: quality, images: 2, denoiseSeconds: 1, referenceSeconds: 2)
                )
            ])
        }
        func ids(_ query: [String: String]) async throws -> [Int] {
            let text = try #require(try await pages.page("points", query))
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            return try #require(object?["id"] as? [Int])
        }
        #expect(try await ids([:]).count == 8)
        let sample = try await ids(["limit": "2"])
        #expect(sample.count < 8 && Set(sample).isSuperset(of: served.candidates.map(Int.init)), "\(sample)")
    }

    @Test func documentsAreSharedUntilTheHistoryChanges() async throws {
        let served = try await Served()
        let pages = try RunPages(folder: served.folder.path)
        let first = try await pages.document("events", [:])
        #expect(try await pages.document("events", [:]) == first)
        try served.history.events.record("note", "one more", run: served.run)
        let second = try #require(try await pages.document("events", [:]))
        #expect(second != first && String(decoding: second, as: UTF8.self).contains("one more"))
        #expect(try await pages.document("nothing", [:]) == nil)
    }

    @Test func candidateHasItsScoresByPrompt() async throws {
        let served = try await Served()
        let found = try await served.object("/api/0/candidate?id=\(served.candidates[1])")
        #expect((found["scores"] as? [[Any]])?.count == 2)
        #expect(found["genome"] as? String == "010F")
    }

    @Test func runThatNoCoordinatorWorksOnIsInterrupted() async throws {
        let served = try await Served()
        let before = try await served.object("/api/0/summary")
        #expect(before["status"] as? String == "running")
        #expect((before["coordinator"] as? String)?.hasPrefix("pid ") == true)
        #expect(
            try await served.get("/metrics").body.contains("ecad_coordinator_up{run=\"\(served.folder.path)\"} 1.0"))
        let changes = try await served.stream(until: "event: change")
        // As a killed coordinator does: the status in the history stays.
        try served.history.close()
        #expect(try await changes.value)
        let after = try await served.object("/api/0/summary")
        #expect(after["status"] as? String == "interrupted" && after["coordinator"] is NSNull)
        let seconds = try #require(after["last_result"] as? Double)
        #expect(abs(seconds - Date().timeIntervalSince1970) < 3600)
        #expect(
            try await served.get("/metrics").body.contains("ecad_coordinator_up{run=\"\(served.folder.path)\"} 0.0"))
        let history = try RunHistory.open(in: served.folder.path)
        try history.runs.setStatus(.finished, of: served.run)
        try history.close()
        #expect(try await served.object("/api/0/summary")["status"] as? String == "finished")
    }

    @Test func candidatesAreComparedWithTheUncachedImagesOfTheirPrompts() async throws {
        let served = try await Served()
        let full = SHA256.digest([UInt8](repeating: UInt8(ascii: "1"), count: 12)).hexadecimal
        func candidate(_ number: UInt8, _ hash: String) -> NewCandidate {
            NewCandidate(
                genome: [number, 0x0F], genomeSHA256: hash, canonicalHash: hash, origin: "calibrated", macs: 1)
        }
        let image = ImageKey(prompt: 1, seed: 0)
        let other = String(repeating: "f", count: 64)
        let search = try served.history.search.beginGeneration(
            1, of: served.run, searchState: [0], candidates: [candidate(0xFF, full)],
            tasks: [NewTask(candidates: [0], images: [image])])
        let benchmark = try served.history.benchmarks.begin(
            on: "unseen", of: served.run, prompts: ["a", "b"],
            entries: [
                NewBenchmarkEntry(label: "uncached", candidate: candidate(0xFF, full)),
                NewBenchmarkEntry(label: "other", candidate: candidate(1, other)),
            ], tasks: [NewTask(candidates: [0, 1], images: [image])])
        for (work, value) in [(search, 3.0), (benchmark, 5.0)] {
            let scores = work.candidateIDs.enumerated().map {
                ImageScore(candidateID: $1, image: image, scorer: "clip", value: value - Double($0))
            }
            let result = TaskResult(taskID: work.taskIDs[0], workerID: 1, scores: scores, timings: [], seconds: 1)
            #expect(try served.history.results.commit(result) == .committed)
        }
        func uncached(_ candidate: Int64) async throws -> [Double] {
            let found = try await served.object("/api/0/candidate?id=\(candidate)")["uncached"] as? [[Any]]
            return try #require(found).compactMap { $0[3] as? Double }
        }
        #expect(try await uncached(served.candidates[1]) == [3])
        #expect(try await uncached(benchmark.candidateIDs[1]) == [5])
    }

    /// The scores of the uncached schedule are those of a run that does not search it, not a benchmark's.
    @Test func uncachedScheduleOfTheRunIsNoBenchmark() async throws {
        let served = try await Served()
        let full = SHA256.digest([UInt8](repeating: UInt8(ascii: "1"), count: 12)).hexadecimal
        let reference = NewCandidate(
            genome: [0xFF, 0x0F], genomeSHA256: full, canonicalHash: full, origin: "default", macs: 1)
        let image = ImageKey(prompt: 1, seed: 0)
        let task = NewTask(candidates: [0], images: [image])
        let work = try #require(
            try served.history.benchmarks.beginUncached(of: served.run, candidate: reference, tasks: [task]))
        let id = try #require(work.candidateIDs.first)
        #expect(try served.history.benchmarks.unsettledUncached(of: served.run) == id)
        let score = ImageScore(candidateID: id, image: image, scorer: "clip", value: 7)
        let result = TaskResult(taskID: work.taskIDs[0], workerID: 1, scores: [score], timings: [], seconds: 1)
        #expect(try served.history.results.commit(result) == .committed)
        let totals = EvaluationTotals(
            cost: 1, quality: 7, latencyRatio: 1, modelledRatio: nil, macs: 1, images: 1, denoiseSeconds: 1,
            referenceSeconds: 1)
        try served.history.search.recordEvaluations([(id, totals)])
        #expect(try served.history.benchmarks.unsettledUncached(of: served.run) == nil)
        let listed = "SELECT count(*) FROM benchmark_summary WHERE prompt_set = 'calibration'"
        #expect(try served.history.query(listed).rows == [[.integer(0)]])
        // Once is enough.
        #expect(
            try served.history.benchmarks.beginUncached(of: served.run, candidate: reference, tasks: [task]) == nil)
        let found = try await served.object("/api/0/candidate?id=\(served.candidates[1])")["uncached"] as? [[Any]]
        #expect(found?.compactMap { $0[3] as? Double } == [7])
        let page = try await served.object("/api/0/benchmarks")
        #expect((page["schedules"] as? [Any])?.isEmpty == true && (page["scores"] as? [Any])?.isEmpty == true)
        let points = try await served.object("/api/0/points")["id"] as? [Int]
        #expect(points?.contains(Int(id)) == false)
    }

    @Test func scriptHasTheTitlesOfAllScorers() {
        for kind in ScorerKind.allCases {
            for name in kind.names { #expect(WebApp.script.contains("\"\(name)\": \"\(kind.title)\"")) }
        }
        #expect(WebApp.script.contains("\"image-reward-kept\": \"Image Reward, clipped\""))
    }

    @Test(arguments: [
        "/api/1/summary", "/api/-1/summary", "/api/0/nothing", "/api/0/candidate?id=999", "/api/0/candidate?id=1;DROP",
        "/api/0/candidate", "/api/99999999999999999999/summary", "/../../etc/passwd", "/api/0/image/7",
        "/api/0/image/x",
        "/api", "/api/0", "/index.html",
    ])
    func unknownPathsAndParametersAreNotFound(path: String) async throws {
        let served = try await Served()
        #expect(try await served.get(path).status == "HTTP/1.1 404 Not Found")
    }

    @Test func markupInTextsIsOnlyInJSON() async throws {
        let served = try await Served()
        #expect(try await served.get("/api/0/summary").body.contains("<script>alert(1)"))
        let report = try await RunReport(folder: served.folder.path).html()
        #expect(!report.contains("<script>alert(1)"))
        #expect(report.components(separatedBy: "</script>").count == 3)
    }

    @Test func endlessHeadsAreCutOff() async throws {
        let served = try await Served()
        let answer = try await served.answer("GET / HTTP/1.1\r\nX: " + String(repeating: "a", count: 40_000))
        #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 431"))
        #expect(try await served.get("/api/runs").body == "{\"count\":1}")
    }

    @Test func otherMethodsChangeNothing() async throws {
        let served = try await Served()
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let answer = try await served.answer("\(method) /api/0/summary HTTP/1.1\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 405"))
        }
    }

    @Test func metricsAreInPrometheusFormat() async throws {
        let served = try await Served()
        let body = try await served.get("/metrics").body
        #expect(body.contains("# TYPE ecad_tasks gauge"))
        #expect(body.contains("state=\"done\"} 3.0"))
        #expect(body.contains("ecad_evaluations_total{run="))
    }

    @Test func openStreamsHearOfChanges() async throws {
        let served = try await Served()
        let port = served.port
        let streams = try await served.blocking {
            try (0..<300).map { _ in
                let socket = try Served.connect(port: port)
                let request = Array("GET /api/changes HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
                _ = send(socket, request, request.count, Int32(MSG_NOSIGNAL))
                return socket
            }
        }
        defer { for socket in streams { close(socket) } }
        @Sendable func count(of text: String) -> Int {
            streams.count { socket in
                var found = ""
                var buffer = [UInt8](repeating: 0, count: 4096)
                while !found.contains(text), case let count = recv(socket, &buffer, buffer.count, 0), count > 0 {
                    found += String(decoding: buffer[..<count], as: UTF8.self)
                }
                return found.contains(text)
            }
        }
        #expect(try await served.blocking { count(of: "event: hello") } == 300)
        // The first poll only learns the version.
        try await Task.sleep(for: .seconds(2))
        try served.history.events.record("test", "changed", run: served.run)
        #expect(try await served.blocking { count(of: "event: change") } == 300)
        #expect(try await served.get("/api/runs").status.hasPrefix("HTTP/1.1 200"))
    }
}
