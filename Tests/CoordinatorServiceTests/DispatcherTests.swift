import Testing

@testable import CoordinatorService

@Suite struct DispatcherTests {
    private func dispatcher(_ tasks: [Int64] = [1, 2, 3], units: Double = 10) -> Dispatcher {
        var dispatcher = Dispatcher(silenceLimit: 15)
        for task in tasks { dispatcher.add(task, units: units) }
        return dispatcher
    }

    /// Leases the next task, if somebody is retired for it.
    private func lease(_ d: inout Dispatcher, at now: Double = 0) -> Dispatcher.Lease? {
        var retiring: [Int64] = []
        return d.lease(at: now, retiring: &retiring)
    }

    @Test func tasksAreLeasedInOrderToTheLongestIdleWorker() {
        var d = dispatcher()
        #expect(lease(&d) == nil)
        #expect(d.free(10, at: 0).isEmpty)
        #expect(d.free(11, at: 1).isEmpty)
        #expect(d.free(10, at: 2).isEmpty, "asking twice is no second request")
        let (first, second) = (lease(&d), lease(&d))
        #expect(first?.task == 1 && first?.worker == 10)
        #expect(second?.task == 2 && second?.worker == 11)
        #expect(lease(&d) == nil)
        #expect(d.holders(of: 1) == [10])
        #expect(d.openTaskCount == 3)
    }

    @Test func aWorkerThatAsksAgainKeepsWhatItHolds() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        let held = lease(&d)
        #expect(d.free(10, at: 1) == [held])
        #expect(d.idleCount == 0 && !d.isWaiting(1))
        #expect(lease(&d) == nil)
        d.finish(1)
        #expect(d.free(10, at: 2).isEmpty)
        #expect(lease(&d)?.task == 2)
    }

    @Test func aSilentWorkerIsGivenUpAndItsTaskComesFirst() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        _ = d.free(11, at: 0)
        _ = lease(&d)
        _ = lease(&d)
        d.hear(from: 11, at: 14)
        #expect(d.expire(at: 15).isEmpty)
        let lost = d.expire(at: 15.1)
        #expect(lost.map(\.worker) == [10] && lost.first?.leases.map(\.task) == [1] && lost.first?.loss == .silent)
        #expect(d.workerCount == 1)
        _ = d.free(12, at: 21)
        #expect(lease(&d)?.task == 1)
    }

    @Test func aLeaseFollowsFromTheMeasuredCostAndIsRenewedByProgressAlone() throws {
        var d = dispatcher(units: 10)
        _ = d.free(10, at: 0)
        #expect(try #require(lease(&d)).seconds == Dispatcher.firstLease, "nothing is known yet")
        d.finish(1)
        d.noteCost(seconds: 200, units: 10, by: 10)
        _ = d.free(10, at: 200)
        let second = try #require(lease(&d, at: 200))
        #expect(second.seconds == 800, "four times what the worker took for as many images")
        d.hear(from: 10, at: 900)
        d.progress(of: 10, on: 2, imagesDone: 3, at: 900)
        for now in stride(from: 910.0, through: 1_700, by: 10) {
            d.hear(from: 10, at: now)
            d.progress(of: 10, on: 2, imagesDone: 3, at: now)
            #expect(d.expire(at: now).isEmpty, "at \(now)")
        }
        d.hear(from: 10, at: 1_701)
        let stuck = d.expire(at: 1_701)
        #expect(stuck.map(\.loss) == [.stuck] && stuck.first?.leases.map(\.task) == [2])
        #expect(d.workerCount == 1, "it is alive")
        #expect(d.isWaiting(2))
    }

    @Test func aFinishedTaskIsNeverLeasedAgain() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        _ = lease(&d)
        d.finish(1)
        d.finish(2)
        #expect(d.openTaskCount == 1)
        #expect(d.leave(10).isEmpty)
        _ = d.free(11, at: 1)
        #expect(lease(&d)?.task == 3)
        #expect(lease(&d) == nil)
    }

    @Test func onlyTheHolderCanFailATask() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        _ = lease(&d)
        #expect(d.fail(1, by: 99) == .ignored)
        #expect(d.holders(of: 1) == [10])
        #expect(d.fail(1, by: 10) == .retry)
        #expect(d.holders(of: 1).isEmpty)
        _ = d.free(10, at: 1)
        #expect(lease(&d)?.task == 2, "a failed task goes to the end")
    }

    @Test func threeDifferentWorkersMustFailAndLossesDoNotCount() {
        var d = dispatcher([1])
        for worker: Int64 in [10, 11, 12, 13] { _ = d.free(worker, at: 0) }
        for worker: Int64 in [10, 11, 12, 13] {
            #expect(lease(&d)?.worker == worker)
            #expect(d.leave(worker).map(\.task) == [1])
            _ = d.free(worker, at: 1)
        }
        var failedBy: Set<Int64> = []
        for number in 1...3 {
            guard let lease = lease(&d) else {
                Issue.record("nobody has the task")
                return
            }
            #expect(failedBy.insert(lease.worker).inserted, "the task came back to one that had failed")
            #expect(d.fail(1, by: lease.worker) == (number == 3 ? .giveUp : .retry))
            _ = d.free(lease.worker, at: 2)
        }
    }

    @Test func aLoneWorkerMayTryThreeTimes() {
        var d = dispatcher([1])
        for number in 1...3 {
            _ = d.free(10, at: 0)
            #expect(lease(&d)?.task == 1)
            #expect(d.fail(1, by: 10) == (number == 3 ? .giveUp : .retry))
        }
    }

    @Test func failuresOfAnEarlierLifeCount() {
        var d = Dispatcher(silenceLimit: 15)
        d.add(1, units: 1, failedBy: [10, 11])
        for worker: Int64 in [10, 11, 12] { _ = d.free(worker, at: 0) }
        #expect(lease(&d)?.worker == 12)
        #expect(d.fail(1, by: 12) == .giveUp)
    }

    @Test func theLastTasksAreDoubledOnFasterIdleWorkersAndTheFirstResultEndsBoth() {
        var d = dispatcher([1, 2], units: 10)
        d.noteCost(seconds: 100, units: 10, by: 10)
        d.noteCost(seconds: 10, units: 10, by: 11)
        _ = d.free(10, at: 0)
        _ = d.free(11, at: 0)
        _ = lease(&d)
        _ = lease(&d)
        #expect(d.hedge(at: 5).isEmpty, "nobody is idle")
        d.finish(2)
        _ = d.free(11, at: 10)
        let hedges = d.hedge(at: 10)
        #expect(hedges.map(\.task) == [1] && hedges.map(\.worker) == [11] && hedges.first?.isHedge == true)
        _ = d.free(12, at: 11)
        #expect(d.hedge(at: 12).isEmpty, "two holders are enough")
        #expect(d.finish(1).map(\.worker).sorted() == [10, 11])
        #expect(d.openTaskCount == 0)
    }

    @Test func aSlowIdleWorkerIsNoHelp() {
        var d = dispatcher([1], units: 10)
        d.noteCost(seconds: 10, units: 10, by: 10)
        d.noteCost(seconds: 100, units: 10, by: 11)
        _ = d.free(10, at: 0)
        _ = lease(&d)
        _ = d.free(11, at: 0)
        #expect(d.hedge(at: 5).isEmpty)
        // Long overdue, it may never come.
        #expect(d.hedge(at: 200).map(\.worker) == [11])
    }

    @Test func aWorkerNearItsEndGetsNothingThatDoesNotFit() {
        var d = dispatcher([1, 2], units: 10)
        d.noteCost(seconds: 100, units: 10, by: 10)
        _ = d.free(10, at: 0, secondsLeft: 60)
        _ = d.free(11, at: 0, secondsLeft: 1_000)
        var retiring: [Int64] = []
        #expect(d.lease(at: 0, retiring: &retiring)?.worker == 11)
        #expect(retiring == [10])
    }

    @Test func anExcludedWorkerIsPassedOver() {
        var d = Dispatcher(silenceLimit: 15)
        d.add(-2, units: 1, excluding: [10])
        d.add(1, units: 1)
        _ = d.free(10, at: 0)
        #expect(lease(&d)?.task == 1, "what it may not have keeps its place")
        _ = d.free(11, at: 0)
        #expect(lease(&d)?.task == -2)
    }

    @Test func theQueueKeepsItsOrderThroughEverything() {
        var queue = TaskQueue()
        for task in 0..<5_000 { queue.append(Int64(task)) }
        queue.append(3)
        #expect(queue.count == 5_000, "a task waits once")
        var taken: [Int64] = []
        for round in 0..<2_000 {
            if round % 10 == 0 { queue.remove(Int64(4_999 - round)) }
            if let task = queue.popFirst(where: { $0 % 2 == 0 }) { taken.append(task) }
        }
        #expect(taken == (0..<2_000).map { Int64(2 * $0) })
        queue.returnToFront([8, 6])
        #expect(queue.popFirst { _ in true } == 8)
        #expect(queue.popFirst { _ in true } == 6)
        #expect(queue.popFirst { _ in true } == 1, "passed over, but not forgotten")
    }
}
