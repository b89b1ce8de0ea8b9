import Basics
import Foundation
import Logging
import Transport

/// Worker processes on the coordinator's own machine, started with it.
///
/// A killed worker is restarted, as a batch system would; a worker that exits by itself gives the reason in its log.
final class LocalWorkers {
    /// Restarts of killed workers before the run fails.
    private static let restartLimit = 20

    private struct Worker {
        let name: String
        let logPath: String
        var process: Process
        /// Bytes of its log that have been searched for warnings.
        var readBytes: Int
        /// Whether its end has been logged.
        var isGivenUp = false
    }

    private let executable: String
    private let arguments: [String]
    private let folder: String
    private let access: AccessControl
    private let logger: Logger
    private var workers: [Worker] = []
    private var restartCount = 0
    private var shownWarnings: Set<String> = []

    /// Starts workers.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - threads: Threads of each; nil to divide the machine's processors among them.
    ///   - endpoint: The coordinator's endpoint as seen from this machine.
    ///   - model: The model directory.
    ///   - scorers: The directories of the scorers' models.
    ///   - folder: The run directory, for logs, unacknowledged results and uncached images.
    ///   - access: Creates their keys.
    ///   - logger: The log.
    /// - Throws: ``CoordinatorError/localWorkersFailed(_:)`` if the program is not in the directory of this one.
    init(
        count: Int, threads: Int?, endpoint: String, model: String, scorers: [String], folder: String,
        access: AccessControl, logger: Logger
    ) throws {
        let directory = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        executable = directory.appendingPathComponent("ecad-worker").path
        let available = AvailableProcessors.current
        let perWorker = threads ?? max(1, available.count / max(count, 1))
        arguments =
            ["run", "--coordinator", endpoint, "--models", model, "--threads", "\(perWorker)", "--exit-with-parent"]
            + ["--references", "\(folder)/references"] + scorers.flatMap { ["--scorer", $0] }
        self.folder = folder
        self.access = access
        self.logger = logger
        guard FileManager.default.isExecutableFile(atPath: executable) else {
            throw CoordinatorError.localWorkersFailed(
                "\(executable): not found; build the product ecad-worker, or use --workers 0")
        }
        if count > 0 {
            let origin = threads == nil ? ": \(available)" : ", as given by --worker-threads"
            logger.notice("local workers: \(count), threads of each: \(perWorker)\(origin)")
        }
        for number in 0..<count {
            let name = "\(KeyFolder.localPrefix)\(number + 1)"
            let logPath = "\(folder)/\(name).log"
            let logged = FileContents.size(logPath)
            workers.append(
                Worker(name: name, logPath: logPath, process: try launch(name, logPath), readBytes: logged))
        }
    }

    /// Rejects local workers for a run that they could not join.
    ///
    /// - Throws: ``CoordinatorError/localWorkersFailed(_:)`` unless the run's engine is the native one.
    static func require(_ engine: Engine, forWorkers count: Int) throws {
        guard count > 0, engine != .native else { return }
        throw CoordinatorError.localWorkersFailed(
            "--workers \(count) starts workers with the native engine, the run's model.engine is \(engine); expected "
                + "--workers 0, and workers that join with \(engine.workerCommand)")
    }

    private func launch(_ name: String, _ logPath: String) throws -> Process {
        if !FileManager.default.fileExists(atPath: logPath) {
            _ = FileManager.default.createFile(atPath: logPath, contents: nil)
        }
        guard let log = FileHandle(forWritingAtPath: logPath) else {
            throw CoordinatorError.localWorkersFailed("\(logPath): cannot be written")
        }
        _ = try? log.seekToEnd()
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments =
            arguments + ["--name", name, "--spool", "\(folder)/\(name).spool"] + (try access.localArguments(for: name))
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = log
        process.standardError = log
        do {
            try process.run()
        } catch {
            throw CoordinatorError.localWorkersFailed("\(executable): cannot be started: \(error.localizedDescription)")
        }
        return process
    }

    /// Restarts killed workers.
    ///
    /// - Parameter isAlone: Whether no other worker is connected.
    /// - Throws: ``CoordinatorError/localWorkersFailed(_:)`` if all have exited and no other worker is connected, with the last
    ///   one's reason.
    func check(isAlone: Bool) throws {
        for index in workers.indices { showWarnings(of: &workers[index]) }
        for index in workers.indices where !workers[index].process.isRunning {
            let worker = workers[index]
            guard worker.process.terminationReason == .uncaughtSignal, restartCount < Self.restartLimit else {
                if !worker.isGivenUp {
                    workers[index].isGivenUp = true
                    logger.warning("\(worker.name) has exited and is not restarted; see \(worker.logPath)")
                }
                continue
            }
            restartCount += 1
            let signal = worker.process.terminationStatus
            let cause = signal == SIGKILL ? "signal 9, out of memory?" : "signal \(signal)"
            logger.warning(
                "\(worker.name) was killed (\(cause)); restart \(restartCount) of at most \(Self.restartLimit)")
            workers[index].process = try launch(worker.name, worker.logPath)
        }
        guard isAlone, !workers.isEmpty, workers.allSatisfy({ !$0.process.isRunning }), let last = workers.last else {
            return
        }
        let text = (try? String(contentsOfFile: last.logPath, encoding: .utf8)) ?? ""
        let reason = text.split(separator: "\n").last.map(String.init) ?? "\(last.logPath) gives no reason"
        throw CoordinatorError.localWorkersFailed("all local workers have exited: \(reason)")
    }

    /// Repeats warnings of a worker's log in the coordinator's, which is the one on the terminal.
    ///
    /// Several workers give the same ones, about the prompts or the machine; each is shown once.
    private func showWarnings(of worker: inout Worker) {
        guard FileContents.size(worker.logPath) > worker.readBytes,
            let log = FileHandle(forReadingAtPath: worker.logPath)
        else { return }
        defer { try? log.close() }
        guard (try? log.seek(toOffset: UInt64(worker.readBytes))) != nil, let new = try? log.readToEnd(),
            let end = new.lastIndex(of: UInt8(ascii: "\n"))
        else { return }
        worker.readBytes += end + 1
        let prefix = "ecad-worker: warning: "
        for line in String(decoding: new[...end], as: UTF8.self).split(separator: "\n") where line.hasPrefix(prefix) {
            let text = String(line.dropFirst(prefix.count)).replacing(" worker=\(worker.name)", with: "")
            if shownWarnings.insert(text).inserted { logger.warning("\(worker.name): \(text)") }
        }
    }

    /// Terminates the workers and waits for their exit.
    func stop() {
        for worker in workers where worker.process.isRunning { worker.process.terminate() }
        for worker in workers { worker.process.waitUntilExit() }
    }

    /// Waits for workers that were told that the run is over, then terminates the rest.
    func waitForExit(seconds: Double) {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < deadline, workers.contains(where: { $0.process.isRunning }) {
            Thread.sleep(forTimeInterval: 0.05)
        }
        stop()
    }
}
