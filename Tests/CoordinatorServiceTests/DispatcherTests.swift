import Testing

@testable import CoordinatorService

@Suite struct DispatcherTests {
    private func dispatcher(_ tasks: [Int64] = [1, 2, 3]) -> Dispatcher {
        var dispatcher = Dispatcher(silenceLimit: 20)
        dispatcher.add(tasks)
        return dispatcher
    }

    @Test func tasksAreLeasedInOrderToTheLongestIdleWorker() {
        var d = dispatcher()
        #expect(d.lease() == nil)
        #expect(d.free(10, at: 0).isEmpty)
        #expect(d.free(11, at: 1).isEmpty)
        #expect(d.free(10, at: 2).isEmpty, "asking twice is no second request")
        let (first, second) = (d.lease(), d.lease())
        #expect(first?.task == 1 && first?.worker == 10)
        #expect(second?.task == 2 && second?.worker == 11)
        #expect(d.lease() == nil)
        #expect(d.tasks(of: 10) == [1])
        #expect(d.openTaskCount == 3)
    }

    @Test func aWorkerThatAsksAgainLosesWhatItHeld() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        _ = d.lease()
        #expect(d.free(10, at: 1) == [1])
        #expect(d.lease()?.task == 1, "a returned task comes first")
    }

    @Test func aSilentWorkerIsGivenUpAndItsTaskComesFirst() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        _ = d.free(11, at: 0)
        _ = d.lease()
        _ = d.lease()
        d.hear(from: 11, at: 19)
        #expect(d.expire(at: 20).isEmpty)
        let lost = d.expire(at: 20.1)
        #expect(lost.map(\.worker) == [10] && lost.first?.tasks == [1])
        #expect(d.workerCount == 1)
        _ = d.free(12, at: 21)
        #expect(d.lease()?.task == 1)
    }

    @Test func aFinishedTaskIsNeverLeasedAgain() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        _ = d.lease()
        d.finish(1)
        d.finish(2)
        #expect(d.openTaskCount == 1)
        #expect(d.leave(10).isEmpty)
        _ = d.free(11, at: 1)
        #expect(d.lease()?.task == 3)
        #expect(d.lease() == nil)
    }

    @Test func onlyTheHolderCanFailATask() {
        var d = dispatcher()
        _ = d.free(10, at: 0)
        _ = d.lease()
        d.retry(1, from: 99)
        #expect(d.tasks(of: 10) == [1])
        d.retry(1, from: 10)
        #expect(d.tasks(of: 10).isEmpty)
        _ = d.free(10, at: 1)
        #expect(d.lease()?.task == 2, "a failed task goes to the end")
    }
}
