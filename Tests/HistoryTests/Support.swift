import Foundation
import TestSupport
import Testing

@testable import History

/// Two steps of two blocks with three components: twelve genes, two bytes.
let sampleGenes = (0..<12).map { gene in
    GeneCell(step: gene / 6, block: gene / 3 % 2, component: ["attn1", "attn2", "ff"][gene % 3])
}

let samplePrompts = ["a red cube", "a blue ball", "a green cone"]

func sampleRun(reference: ReferencePoint? = ReferencePoint(cost: 1, quality: 0)) -> NewRun {
    NewRun(
        name: "shapes", configuration: "[model]\npath = \"models/shapes\"\n", costObjective: "latency",
        qualityObjective: "image-reward", shape: #"{"steps": 2}"#, genes: sampleGenes, modelHash: "model", seed: 7,
        reference: reference, prompts: samplePrompts)
}

/// A candidate whose hashes are derived from a number.
func sampleCandidate(
    _ number: Int, genome: [UInt8] = [0xFF, 0x0F], parents: (Int64?, Int64?) = (nil, nil),
    operator: String? = nil, origin: String = "random"
) -> NewCandidate {
    let digits = String(number, radix: 16)
    return NewCandidate(
        genome: genome, genomeSHA256: String(repeating: "0", count: 64 - digits.count) + digits,
        canonicalHash: "c\(number)", parentA: parents.0, parentB: parents.1, operator: `operator`, origin: origin,
        macs: Int64(number) * 1000)
}

func sampleWorker(_ name: String) -> WorkerDescription {
    WorkerDescription(name: name, host: "host-" + name, cpu: "CPU", blas: "OpenBLAS", threads: 2, engineVersion: "1.0")
}

/// Totals for tests that only compare objectives and ratios.
func totals(cost: Double, quality: Double, ratio: Double? = nil, modelled: Double? = nil) -> EvaluationTotals {
    EvaluationTotals(
        cost: cost, quality: quality, latencyRatio: ratio ?? cost, modelledRatio: modelled, macs: 5, images: 3,
        denoiseSeconds: cost, referenceSeconds: 1)
}

/// A history with one run, one worker, and one generation of two candidates, each with a task of two images.
struct SampleHistory {
    let folder: TemporaryFolder
    let history: RunHistory
    let run: Int64
    let worker: Int64
    let work: InsertedIDs
    let images = [ImageKey(prompt: 0, seed: 1), ImageKey(prompt: 2, seed: 9)]

    init() throws {
        folder = try TemporaryFolder()
        history = try RunHistory.create(in: folder.path)
        run = try history.runs.create(sampleRun(), at: 100)
        worker = try history.workers.upsert(sampleWorker("w1"), at: 100)
        work = try history.search.beginGeneration(
            0, of: run, searchState: Array("asked".utf8), candidates: [sampleCandidate(1), sampleCandidate(2)],
            tasks: [
                NewTask(candidates: [0], images: images), NewTask(candidates: [1], images: images),
            ], at: 101)
    }

    /// A complete result of the first or second task.
    func result(_ index: Int, worker: Int64? = nil, value: Double = 0.5) -> TaskResult {
        let candidate = work.candidateIDs[index]
        return TaskResult(
            taskID: work.taskIDs[index], workerID: worker ?? self.worker,
            scores: images.map { ImageScore(candidateID: candidate, image: $0, scorer: "image-reward", value: value) },
            timings: images.map {
                ImageTiming(
                    candidateID: candidate, image: $0, denoiseSeconds: 2, referenceSeconds: 4, decodeSeconds: 0.5)
            }, seconds: 6)
    }

    func integer(_ sql: String) throws -> Int64? {
        guard case .integer(let number) = try history.query(sql).rows.first?.first else { return nil }
        return number
    }
}

extension SearchStore {
    func recordEvaluation(
        of candidate: Int64, on evaluationSet: String = RunHistory.calibration, totals: EvaluationTotals,
        at instant: Double = RunHistory.now()
    ) throws {
        try recordEvaluations([(candidate, totals)], on: evaluationSet, at: instant)
    }
}

extension TaskStore {
    func pending(of run: Int64) throws -> [TaskRecord] {
        try open(of: run, on: RunHistory.calibration).filter { $0.state == .pending }
    }

    /// Records the task's next lease.
    func lease(
        _ id: Int64, to worker: Int64, expiresAt: Double, at instant: Double = RunHistory.now()
    ) throws -> LeaseKey {
        let key = LeaseKey(taskID: id, epoch: try task(id).attempts + 1)
        try recordLease(of: id, to: worker, epoch: key.epoch, expiresAt: expiresAt, at: instant)
        return key
    }
}

extension QueryResult {
    /// A column's values.
    subscript(column: String) -> [QueryValue] {
        guard let index = columns.firstIndex(of: column) else { return [] }
        return rows.map { $0[index] }
    }

    /// A column's numbers; nil for values of other types.
    func numbers(_ column: String) -> [Double?] {
        self[column].map {
            switch $0 {
            case .real(let number): number
            case .integer(let number): Double(number)
            default: nil
            }
        }
    }
}

/// Output of the sqlite3 shell.
func sqlite3Shell(_ file: String, _ sql: String) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
    process.arguments = ["-readonly", "-header", file, sql]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    return String(decoding: data, as: UTF8.self)
}

let hasShell = FileManager.default.isExecutableFile(atPath: "/usr/bin/sqlite3")
