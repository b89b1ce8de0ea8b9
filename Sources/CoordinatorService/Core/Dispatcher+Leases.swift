// Leases: who gets which task, for how long, and who gets one a second time.
extension Dispatcher {
    /// Leases a waiting task to an idle worker, the longest idle first; nil while there is no such pair.
    ///
    /// - Parameters:
    ///   - now: Seconds.
    ///   - retiring: Receives idle workers whose time is too short for anything that waits.
    /// - Returns: The lease.
    mutating func lease(at now: Double, retiring: inout [WorkerID]) -> Lease? {
        var passedOver: [WorkerID] = []
        defer { idle.insert(contentsOf: passedOver, at: 0) }
        while !idle.isEmpty, !queue.isEmpty {
            let worker = idle.removeFirst()
            guard let entry = workers[worker] else { continue }
            var isTimeTooShort = false
            // Taken out of self for the while: the choice looks at everything but the queue.
            var queue = self.queue
            self.queue = TaskQueue()
            let task = queue.popFirst { task in
                guard let candidate = tasks[task], !candidate.excluded.contains(worker) else { return false }
                if candidate.failedBy.contains(worker), hasOther(than: candidate.failedBy) { return false }
                let fits = self.fits(units: candidate.units, worker: worker, endsAt: entry.endsAt, at: now)
                if !fits { isTimeTooShort = true }
                return fits
            }
            self.queue = queue
            if let task { return grant(task, to: worker, at: now, isHedge: false) }
            if isTimeTooShort {
                workers[worker]?.isIdle = false
                retiring.append(worker)
            } else {
                passedOver.append(worker)
            }
        }
        return nil
    }

    /// Gives tasks that others have been at for long to idle workers too, once nothing waits that these may have.
    ///
    /// Looks once a second at most, and after ``lease(at:retiring:)`` has returned nil.
    mutating func hedge(at now: Double) -> [Lease] {
        guard !idle.isEmpty, now - hedgedAt >= 1 else { return [] }
        hedgedAt = now
        var slow: [(lease: Lease, left: Double)] = tasks.values.compactMap { entry in
            guard let lease = entry.leases.first, entry.leases.count < Self.holderLimit, lease.task > 0 else {
                return nil
            }
            return (lease, secondsLeft(of: lease, units: entry.units, at: now))
        }
        slow.sort { $0.left == $1.left ? $0.lease.task < $1.lease.task : $0.left > $1.left }
        var granted: [Lease] = []
        for (lease, left) in slow {
            let position = idle.firstIndex { worker in
                guard let entry = tasks[lease.task], let state = workers[worker] else { return false }
                guard !entry.excluded.contains(worker), !entry.failedBy.contains(worker) else { return false }
                guard fits(units: entry.units, worker: worker, endsAt: state.endsAt, at: now) else { return false }
                // Worth it if the other would be done sooner; a task nobody can judge is doubled after a minute.
                guard let expected = costs.expectedSeconds(units: entry.units, on: worker) else {
                    return now - lease.startedAt > Self.shortestLease
                }
                return expected + 1 < left
            }
            guard let position else { continue }
            let worker = idle.remove(at: position)
            granted.append(grant(lease.task, to: worker, at: now, isHedge: true))
            if idle.isEmpty { break }
        }
        return granted
    }

    /// Notes the number that the history gave a lease.
    mutating func setEpoch(_ epoch: Int, of task: TaskID, to worker: WorkerID) {
        guard let index = tasks[task]?.leases.firstIndex(where: { $0.worker == worker }) else { return }
        tasks[task]?.leases[index].epoch = epoch
    }

    private mutating func grant(_ task: TaskID, to worker: WorkerID, at now: Double, isHedge: Bool) -> Lease {
        let expected = tasks[task].flatMap { costs.expectedSeconds(units: $0.units, on: worker) }
        let lease = Lease(
            task: task, worker: worker, seconds: expected.map { max(Self.shortestLease, 4 * $0) } ?? Self.firstLease,
            startedAt: now, progressAt: now, isHedge: isHedge)
        tasks[task]?.leases.append(lease)
        workers[worker]?.tasks.append(task)
        workers[worker]?.isIdle = false
        return lease
    }

    /// What the holder still needs: by its speed, and, once it is late, as long again as it is late.
    private func secondsLeft(of lease: Lease, units: Double, at now: Double) -> Double {
        let elapsed = now - lease.startedAt
        guard let expected = costs.expectedSeconds(units: units, on: lease.worker) else { return elapsed }
        return max(expected - elapsed, elapsed - expected)
    }

    private func fits(units: Double, worker: WorkerID, endsAt: Double, at now: Double) -> Bool {
        guard endsAt.isFinite else { return true }
        guard let expected = costs.expectedSeconds(units: units, on: worker) else { return endsAt > now }
        return now + 1.25 * expected + 2 < endsAt
    }

    private func hasOther(than failed: Set<WorkerID>) -> Bool { workers.keys.contains { !failed.contains($0) } }

    /// Gives up the workers that have been silent for too long, and takes tasks from those that get no further.
    ///
    /// A worker that is stuck stays known, without a task: it may ask for another one.
    mutating func expire(at now: Double) -> [(worker: WorkerID, loss: Loss, leases: [Lease])] {
        var lost: [(worker: WorkerID, loss: Loss, leases: [Lease])] = []
        for worker in workers.filter({ now - $0.value.lastHeard > silenceLimit }).keys.sorted() {
            lost.append((worker, .silent, leave(worker)))
        }
        let stuck = workers.filter { worker, entry in
            entry.tasks.contains { lease(of: $0, to: worker).map { now - $0.progressAt > $0.seconds } ?? false }
        }
        for worker in stuck.keys.sorted() { lost.append((worker, .stuck, takeBack(from: worker))) }
        return lost
    }

    /// Workers that hold a task and have missed several heartbeats: their connection may be gone.
    func quiet(for seconds: Double, at now: Double) -> [WorkerID] {
        workers.filter { now - $0.value.lastHeard > seconds && !$0.value.tasks.isEmpty }.keys.sorted()
    }
}
