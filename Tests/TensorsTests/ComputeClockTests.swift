import Foundation
import Tensors
import Testing

/// In separate processes, because the thread count is global.
@Suite struct ComputeClockTests {
    @Test func singleThreadedClockMeasuresCPUTime() async {
        await #expect(processExitsWith: .success) { expectProcessorTime() }
    }

    @Test func multiThreadedClockMeasuresWallTime() async {
        await #expect(processExitsWith: .success) { expectWallTime() }
    }
}

private func expectProcessorTime() {
    BLAS.setThreadCount(1)
    let asleep = ComputeClock.seconds { Thread.sleep(forTimeInterval: 0.2) }
    #expect(asleep < 0.1)
    let busy = ComputeClock.seconds {
        let start = clock()
        while clock() - start < CLOCKS_PER_SEC / 20 {}
    }
    #expect(busy > 0.04)
}

private func expectWallTime() {
    BLAS.setThreadCount(2)
    let asleep = ComputeClock.seconds { Thread.sleep(forTimeInterval: 0.2) }
    #expect(asleep >= 0.2)
}
