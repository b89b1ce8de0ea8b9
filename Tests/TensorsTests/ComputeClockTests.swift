import Foundation
import Tensors
import Testing

/// In processes of their own: the number of threads belongs to the process.
@Suite struct ComputeClockTests {
    @Test func withOneThreadOnlyItsOwnComputingCounts() async {
        await #expect(processExitsWith: .success) {
            BLAS.setThreadCount(1)
            #expect(ComputeClock.seconds { Thread.sleep(forTimeInterval: 0.2) } < 0.1)
            let start = clock()
            let busy = ComputeClock.seconds { while clock() - start < CLOCKS_PER_SEC / 20 {} }
            #expect(busy > 0.04)
        }
    }

    @Test func withSeveralThreadsTheWallCounts() async {
        await #expect(processExitsWith: .success) {
            BLAS.setThreadCount(2)
            #expect(ComputeClock.seconds { Thread.sleep(forTimeInterval: 0.2) } >= 0.2)
        }
    }
}
