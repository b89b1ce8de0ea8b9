import Testing

@testable import CoordinatorService

@Suite struct TaskSizeTests {
    private func size(secondsPerUnit: Double?, workers: Int = 1, seconds: Double = 15, fixed: Int? = nil) -> TaskSize {
        var size = TaskSize(fixed: fixed, seconds: seconds)
        size.secondsPerUnit = secondsPerUnit
        size.workerCount = workers
        return size
    }

    @Test(arguments: [(0.01, 188), (0.1, 19), (1.0, 2), (60.0, 1)])
    func aTaskTakesTheSecondsAskedFor(_ secondsPerUnit: Double, _ expected: Int) {
        let size = size(secondsPerUnit: secondsPerUnit)
        #expect(size.schedules(of: 1_000, images: 8, imagesPerTask: 8) == expected)
        // More images make more tasks, not larger ones.
        #expect(size.schedules(of: 1_000, images: 80, imagesPerTask: 8) == expected)
    }

    @Test func fewerImagesPerTaskAllowMoreSchedules() {
        #expect(size(secondsPerUnit: 0.1).schedules(of: 1_000, images: 2, imagesPerTask: 8) == 75)
        #expect(size(secondsPerUnit: 0.001).schedules(of: 1_000, images: 2, imagesPerTask: 8) == TaskSize.limit)
    }

    @Test func everyWorkerGetsTwoTasksWhereThereAreEnough() {
        let size = size(secondsPerUnit: 0.001, workers: 6)
        #expect(size.schedules(of: 24, images: 8, imagesPerTask: 8) == 2)
        #expect(size.schedules(of: 24, images: 16, imagesPerTask: 8) == 4)
        #expect(size.schedules(of: 5, images: 8, imagesPerTask: 8) == 1)
    }

    @Test func tasksAreSmallBeforeAnythingIsMeasured() {
        #expect(size(secondsPerUnit: nil).schedules(of: 24, images: 8, imagesPerTask: 8) == TaskSize.first)
        #expect(size(secondsPerUnit: 0).schedules(of: 3, images: 8, imagesPerTask: 8) == 1)
    }

    @Test func fixedTaskSizeIsUsed() {
        #expect(size(secondsPerUnit: 1, workers: 50, fixed: 7).schedules(of: 3, images: 8, imagesPerTask: 8) == 7)
    }

    @Test func tasksBecomeShorterTowardsTheEnd() {
        func sizes(_ size: TaskSize, of count: Int, images: Int = 8) -> [Int] {
            size.division(of: count, images: images, imagesPerTask: 8).map(\.count)
        }
        #expect(sizes(size(secondsPerUnit: 0.001, workers: 2), of: 48) == [12, 9, 6, 5, 4, 4, 4, 4])
        // No longer than asked for.
        #expect(sizes(size(secondsPerUnit: 0.3, workers: 2), of: 48) == [6, 6, 6, 6, 6, 4, 4, 4, 4, 2])
        #expect(sizes(size(secondsPerUnit: 1), of: 5) == [2, 2, 1])
        #expect(sizes(size(secondsPerUnit: 0.001, workers: 6), of: 24) == Array(repeating: 2, count: 12))
        #expect(sizes(size(secondsPerUnit: 1, fixed: 7), of: 15) == [7, 7, 1])
        #expect(sizes(size(secondsPerUnit: nil), of: 0) == [])
        let ranges = size(secondsPerUnit: 0.01, workers: 3).division(of: 100, images: 8, imagesPerTask: 8)
        #expect(ranges.flatMap(Array.init) == Array(0..<100))
    }
}
