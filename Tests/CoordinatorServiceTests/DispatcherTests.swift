import Testing

@testable import CoordinatorService
@testable import History

@Suite struct DispatcherTests {
    private func id(_ task: Int64) -> WorkItem.ID { .evaluation(taskID: task) }

    private func item(_ task: Int64, units: Int = 10) -> WorkItem { WorkItem(.sample(task, images: units)) }

    private func dispatcher(_ tasks: [Int64] = [1, 2, 3]) -> Dispatcher {
        var dispatcher = Dispatcher(silenceLimit: 15)
        for task in tasks { dispatcher.add(item(task)) }
        return dispatcher
    }

    /// Leases the next item; ignores workers that are retired.
    private func lease(_ d: inout Dispatcher, at now: Double = 0) -> Dispatcher.Lease? {
        var retiring: [Int64] = []
        return d.lease(at: now, retiring: &retiring)
    }

    @Test func itemsAreLeasedInOrderToTheWorkerIdleLongest() {
        var d = dispatcher()
        #expect(lease(&d) == nil)
        #expect(d.request(by: 10, at: 0).isEmpty)
        #expect(d.request(by: 11, at: 1).isEmpty)
        #expect(d.request(by: 10, at: 2).isEmpty, "a repeated request does not count twice")
        let (first, second) = (lease(&d), lease(&d))
        #expect(first?.item == id(1) && first?.worker == 10)
        #expect(second?.item == id(2) && second?.worker == 11)
        #expect(lease(&d) == nil)
        #expect(d.entries.count == 3)
    }

    @Test func repeatedRequestReturnsTheHeldLease() {
        var d = dispatcher()
        _ = d.request(by: 10, at: 0)
        let held = lease(&d)
        #expect(d.request(by: 10, at: 1) == [held])
        #expect(!d.hasIdleWorkers && !d.isQueued(id(1)))
        #expect(lease(&d) == nil)
        d.remove(id(1))
        #expect(d.request(by: 10, at: 2).isEmpty)
        #expect(lease(&d)?.item == id(2))
    }

    @Test func silentWorkerIsRemovedAndItsItemComesFirst() {
        var d = dispatcher()
        _ = d.request(by: 10, at: 0)
        _ = d.request(by: 11, at: 0)
        _ = lease(&d)
        _ = lease(&d)
        d.recordMessage(from: 11, at: 14)
        #expect(d.expire(at: 15).isEmpty)
        let lost = d.expire(at: 15.1)
        #expect(lost.map(\.worker) == [10] && lost.first?.leases.map(\.item) == [id(1)] && lost.first?.loss == .silent)
        #expect(d.workerCount == 1)
        #expect(d.entries[id(1)]?.pastLeases == [1: .init(worker: 10, outcome: .lost)])
        _ = d.request(by: 12, at: 21)
        let again = lease(&d)
        #expect(again?.item == id(1) && again?.epoch == 2)
    }

    @Test func leaseFollowsMeasuredCostAndOnlyProgressRenewsIt() throws {
        var d = dispatcher()
        _ = d.request(by: 10, at: 0)
        #expect(try #require(lease(&d)).seconds == Dispatcher.firstLease, "nothing has been measured")
        d.remove(id(1))
        d.recordCost(seconds: 200, units: 10, of: 10)
        _ = d.request(by: 10, at: 200)
        let second = try #require(lease(&d, at: 200))
        #expect(second.seconds == 800, "four times the worker's measured cost")
        d.recordMessage(from: 10, at: 900)
        d.recordProgress(of: 10, on: id(2), imagesDone: 3, at: 900)
        for now in stride(from: 910.0, through: 1_700, by: 10) {
            d.recordMessage(from: 10, at: now)
            d.recordProgress(of: 10, on: id(2), imagesDone: 3, at: now)
            #expect(d.expire(at: now).isEmpty, "at \(now)")
        }
        d.recordMessage(from: 10, at: 1_701)
        let stalled = d.expire(at: 1_701)
        #expect(stalled.map(\.loss) == [.stalled] && stalled.first?.leases.map(\.item) == [id(2)])
        #expect(d.workerCount == 1, "it is alive")
        #expect(d.isQueued(id(2)))
    }

    @Test func removedItemIsNeverLeasedAgain() {
        var d = dispatcher()
        _ = d.request(by: 10, at: 0)
        _ = lease(&d)
        d.remove(id(1))
        d.remove(id(2))
        #expect(d.entries.count == 1)
        #expect(d.remove(10, .returned).isEmpty)
        _ = d.request(by: 11, at: 1)
        #expect(lease(&d)?.item == id(3))
        #expect(lease(&d) == nil)
    }

    @Test func onlyTheHolderCanFailAnItem() {
        var d = dispatcher()
        _ = d.request(by: 10, at: 0)
        _ = lease(&d)
        #expect(d.recordFailure(of: id(1), by: 99) == .ignored)
        #expect(d.lease(of: id(1), to: 10) != nil)
        #expect(d.recordFailure(of: id(1), by: 10) == .retry)
        #expect(d.lease(of: id(1), to: 10) == nil)
        _ = d.request(by: 10, at: 1)
        #expect(lease(&d)?.item == id(2), "a failed item goes to the end of the queue")
    }

    @Test func threeWorkersMustFailAndLossesDoNotCount() throws {
        var d = dispatcher([1])
        for worker: Int64 in [10, 11, 12, 13] { _ = d.request(by: worker, at: 0) }
        for worker: Int64 in [10, 11, 12, 13] {
            #expect(lease(&d)?.worker == worker)
            #expect(d.remove(worker, .lost).map(\.item) == [id(1)])
            _ = d.request(by: worker, at: 1)
        }
        var failedBy: Set<Int64> = []
        for number in 1...3 {
            let holder = try #require(lease(&d)).worker
            #expect(failedBy.insert(holder).inserted, "leased again to a worker that has failed at it")
            #expect(d.recordFailure(of: id(1), by: holder) == (number == 3 ? .giveUp : .retry))
            _ = d.request(by: holder, at: 2)
        }
    }

    @Test func singleWorkerMayTryThreeTimes() {
        var d = dispatcher([1])
        for number in 1...3 {
            _ = d.request(by: 10, at: 0)
            #expect(lease(&d)?.item == id(1))
            #expect(d.recordFailure(of: id(1), by: 10) == (number == 3 ? .giveUp : .retry))
        }
    }

    @Test func restoredFailuresCount() {
        var d = Dispatcher(silenceLimit: 15)
        d.add(item(1), failedBy: [10, 11], attempts: 2)
        for worker: Int64 in [10, 11, 12] { _ = d.request(by: worker, at: 0) }
        let lease = lease(&d)
        #expect(lease?.worker == 12 && lease?.epoch == 3)
        #expect(d.recordFailure(of: id(1), by: 12) == .giveUp)
    }

    @Test func crashCountsOnceAndOnlyForAPastLease() {
        var d = dispatcher([1])
        _ = d.request(by: 10, at: 0)
        _ = lease(&d)
        #expect(d.recordCrash(of: id(1), epoch: 1) == .ignored, "the lease has not ended")
        _ = d.remove(10, .lost)
        #expect(d.recordCrash(of: id(1), epoch: 2) == .ignored, "never granted")
        #expect(d.recordCrash(of: id(1), epoch: 1) == .retry)
        #expect(d.recordCrash(of: id(1), epoch: 1) == .ignored)
        #expect(d.entries[id(1)]?.failures == 1)
    }

    @Test func slowItemsAreHedgedOnFasterIdleWorkersAndTheFirstResultEndsBoth() {
        var d = dispatcher([1, 2])
        d.recordCost(seconds: 100, units: 10, of: 10)
        d.recordCost(seconds: 10, units: 10, of: 11)
        _ = d.request(by: 10, at: 0)
        _ = d.request(by: 11, at: 0)
        _ = lease(&d)
        _ = lease(&d)
        #expect(d.hedge(at: 5).isEmpty, "no worker is idle")
        d.remove(id(2))
        _ = d.request(by: 11, at: 10)
        let hedges = d.hedge(at: 10)
        #expect(hedges.map(\.item) == [id(1)] && hedges.map(\.worker) == [11] && hedges.first?.isHedge == true)
        _ = d.request(by: 12, at: 11)
        #expect(d.hedge(at: 12).isEmpty, "two holders are enough")
        #expect(d.remove(id(1)).map(\.worker).sorted() == [10, 11])
        #expect(d.entries.isEmpty)
    }

    @Test func slowerIdleWorkerGetsNoHedgeUntilTheItemIsOverdue() {
        var d = dispatcher([1])
        d.recordCost(seconds: 10, units: 10, of: 10)
        d.recordCost(seconds: 100, units: 10, of: 11)
        _ = d.request(by: 10, at: 0)
        _ = lease(&d)
        _ = d.request(by: 11, at: 0)
        #expect(d.hedge(at: 5).isEmpty)
        #expect(d.hedge(at: 200).map(\.worker) == [11])
    }

    @Test func workerNearItsWalltimeGetsNoItemThatDoesNotFit() {
        var d = dispatcher([1, 2])
        d.recordCost(seconds: 100, units: 10, of: 10)
        _ = d.request(by: 10, secondsLeft: 60, at: 0)
        _ = d.request(by: 11, secondsLeft: 1_000, at: 0)
        var retiring: [Int64] = []
        #expect(d.lease(at: 0, retiring: &retiring)?.worker == 11)
        #expect(retiring == [10])
    }

    @Test func excludedWorkerIsPassedOver() {
        var d = Dispatcher(silenceLimit: 15)
        let recheck = WorkItem(.recheck(Recheck(task: .sample(2), original: 10, originalScores: [:])))
        d.add(recheck, excluding: [10])
        d.add(item(1))
        _ = d.request(by: 10, at: 0)
        #expect(lease(&d)?.item == id(1), "the recheck keeps its place")
        _ = d.request(by: 11, at: 0)
        #expect(lease(&d)?.item == .recheck(taskID: 2))
    }

    @Test func queueKeepsItsOrder() {
        var queue = WorkQueue()
        for task in 0..<5_000 { queue.append(id(Int64(task))) }
        queue.append(id(3))
        #expect(queue.count == 5_000, "an item is queued once")
        var taken: [WorkItem.ID] = []
        for round in 0..<2_000 {
            if round % 10 == 0 { queue.remove(id(Int64(4_999 - round))) }
            if let item = queue.popFirst(where: { $0.wireID % 2 == 0 }) { taken.append(item) }
        }
        #expect(taken == (0..<2_000).map { id(Int64(2 * $0)) })
        queue.returnToFront([id(8), id(6)])
        #expect(queue.popFirst { _ in true } == id(8))
        #expect(queue.popFirst { _ in true } == id(6))
        #expect(queue.popFirst { _ in true } == id(1), "passed over, but still queued")
    }
}

extension TaskRecord {
    /// A task of one candidate, with the task's own number.
    static func sample(_ id: Int64, images: Int = 10, candidates: [Int64]? = nil) -> TaskRecord {
        TaskRecord(
            id: id, runID: 1, generation: 0, evaluationSet: RunHistory.calibration, kind: .evaluate, state: .pending,
            candidateIDs: candidates ?? [id], images: (0..<images).map { ImageKey(prompt: $0, seed: 0) },
            attempts: 0, failures: 0)
    }
}
