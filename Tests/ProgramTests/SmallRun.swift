import Foundation
import History
import TestSupport

/// A run of a small random model that takes seconds, shared by the tests of the programs.
struct SmallRun {
    static let model = "\(Fixtures.folder)/alpha-micro/model"
    let folder: TemporaryFolder
    let configuration: String

    var runFolder: String { folder.file("run") }

    init(model: String = SmallRun.model, generations: Int = 3, preset: String = "nsga2") throws {
        folder = try TemporaryFolder()
        _ = try folder.write("a red cube\nA green ball on a table\n\nsome words\n", to: "prompts.txt")
        configuration = try folder.write(
            """
            [model]
            path = "\(model)"
            steps = 5
            height = 16
            width = 16
            [prompts]
            calibration = "prompts.txt"
            [objectives]
            cost = "macs"
            [search]
            population = 6
            generations = \(generations)
            seed = 7
            preset = "\(preset)"
            seeding = \(preset == "default" ? #"["calibrated"]"# : #"["fora", "random"]"#)
            [tasks]
            images = 2
            schedules = 3
            """, to: "run.toml")
    }

    /// Starts the run with local workers.
    func begin(workers: Int, _ more: [String] = []) throws -> ProgramRun {
        try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", configuration, "--run-dir", runFolder, "--workers", "\(workers)", "--bind",
                "tcp://127.0.0.1:0",
            ]
                + more)
    }

    /// Resumes the run on a fixed port.
    func resume(port: Int, workers: Int = 0) throws -> ProgramRun {
        try ProgramRun(
            "ecad-coordinator",
            ["resume", "--run-dir", runFolder, "--workers", "\(workers)", "--bind", "tcp://127.0.0.1:\(port)"])
    }

    /// Starts a separate worker with one thread.
    func worker(
        port: Int, model: String = SmallRun.model, name: String, _ more: [String] = []
    ) throws -> ProgramRun {
        try ProgramRun(
            "ecad-worker",
            [
                "run", "--coordinator", "tcp://127.0.0.1:\(port)", "--models", model, "--threads", "1", "--name", name,
                "--spool", folder.file("spool-\(name)"), "--references", folder.file("references"),
            ] + more)
    }

    /// The decisions of the search: each candidate with its lineage and objectives, and the state of the search after
    /// each generation, which contains the population and the random generator.
    func decisions() throws -> [[QueryValue]] {
        let history = try RunHistory.openReadOnly(in: runFolder)
        let candidates = try history.query(
            """
            SELECT c.id, c.generation, hex(c.genome), c.origin, c.operator, c.parent_a, c.parent_b, e.cost, e.quality, e.images
            FROM candidates c LEFT JOIN evaluations e ON e.candidate_id = c.id ORDER BY c.id
            """)
        let generations = try history.query(
            "SELECT number, hex(search_state), hypervolume FROM generations ORDER BY number")
        return candidates.rows + generations.rows
    }

    /// The integer that a query of the history returns; -1 without a row.
    func count(_ sql: String) throws -> Int64 {
        let result = try RunHistory.openReadOnly(in: runFolder).query(sql)
        guard case .integer(let value) = result.rows.first?.first else { return -1 }
        return value
    }

    /// Waits until a query returns a number, while the coordinator may still write; false after two minutes.
    func eventually(_ sql: String, is expected: Int64) -> Bool {
        let deadline = Date().addingTimeInterval(120)
        while Date() < deadline {
            if (try? count(sql)) == expected { return true }
            Thread.sleep(forTimeInterval: 0.05)
        }
        return false
    }
}

/// A port of this machine that is free at present.
func freePort() -> Int {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafeMutablePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
            _ = bind(descriptor, generic, length)
            _ = getsockname(descriptor, generic, &length)
        }
        return Int(UInt16(bigEndian: pointer.pointee.sin_port))
    }
}
