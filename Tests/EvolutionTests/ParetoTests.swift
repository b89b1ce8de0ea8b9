import Evolution
import Testing

/// Expected values were computed with pymoo 0.6.1.3.
@Suite struct ParetoTests {
    let infinity = Double.infinity

    @Test func dominanceNeedsOneBetterAndNoWorseObjective() {
        #expect(Pareto.dominates([1, 2], [1, 3]))
        #expect(!Pareto.dominates([1, 2], [1, 2]))
        #expect(!Pareto.dominates([1, 4], [2, 3]))
        #expect(Pareto.dominates([1, 2], [infinity, 2]))
    }

    @Test func frontsEqualPymoos() {
        let points: [[Double]] = [
            [1, 1], [5, 3], [1, 3], [3, 1], [4, 1], [2, 3], [3, 4], [4, 6], [2, 4], [4, 2], [0, 6], [2, 2], [5, 4],
            [3, 5],
        ]
        #expect(
            Pareto.nonDominatedSort(points) == [
                [0, 10], [2, 3, 11], [4, 5], [9, 8], [1, 6], [12, 13], [7],
            ])
        let three: [[Double]] = [
            [0, 3, 1], [0, 3, 4], [1, 3, 1], [3, 3, 1], [3, 3, 3], [3, 2, 3], [4, 0, 3], [2, 2, 1], [3, 1, 3],
            [1, 2, 2],
        ]
        #expect(Pareto.nonDominatedSort(three) == [[0, 6, 7, 8, 9], [1, 2, 5], [3], [4]])
        #expect(
            Pareto.nonDominatedSort([[1, infinity], [infinity, 1], [infinity, infinity], [1, 1], [0, infinity]])
                == [[3, 4], [1, 0], [2]])
        #expect(Pareto.nonDominatedSort([[1, 1], [1, 1], [2, 2], [2, 2]]) == [[0, 1], [2, 3]])
        #expect(Pareto.nonDominatedSort([]).isEmpty)
    }

    @Test func frontEqualsTheFirstSortedFront() {
        var generator = RandomGenerator(seed: 5)
        for objectives in [2, 2, 2, 3] {
            for count in [1, 2, 30, 100] {
                let points = (0..<count).map { _ in
                    (0..<objectives).map { _ in Double(generator.integer(below: 12)) }
                }
                let front = Pareto.front(of: points)
                #expect(front == Pareto.nonDominatedSort(points)[0].sorted())
                for index in front {
                    #expect(!points.contains { Pareto.dominates($0, points[index]) })
                }
            }
        }
        #expect(Pareto.front(of: []).isEmpty)
    }

    @Test func crowdingDistancesEqualPymoos() {
        func check(_ points: [[Double]], _ expected: [Double]) {
            for (found, expected) in zip(Pareto.crowdingDistances(points), expected) {
                #expect(found == expected || abs(found - expected) < 1e-12)
            }
        }
        check([[1, 5], [2, 3], [4, 2], [7, 1]], [infinity, 0.625, 2 / 3, infinity])
        // Ties at the ends, all points equal, one constant objective, an infinite value, two points.
        check([[1, 5], [1, 5], [2, 3], [2, 3], [4, 2]], [infinity, infinity, 1 / 3, 2 / 3, infinity])
        check([[0, 4], [0, 4], [1, 2], [4, 0], [4, 0]], [infinity, infinity, 1, infinity, infinity])
        check([[3, 3], [3, 3], [3, 3]], [0, 0, 0])
        check([[1, 2], [2, 2], [3, 2]], [infinity, 0.5, infinity])
        check([[1, infinity], [2, 3], [3, 2], [4, 1]], [infinity, 1 / 3, 1 / 3, infinity])
        check([[1, 2], [2, 1]], [infinity, infinity])
        check(
            [[0, 1, 2], [1, 0, 2], [2, 2, 0], [1, 1, 1], [0.5, 2, 0.5]],
            [infinity, infinity, infinity, 7 / 12, infinity])
    }

    @Test func hypervolumeIsTheDominatedArea() {
        let points: [[Double]] = [[1, 5], [2, 3], [4, 2], [7, 1]]
        #expect(Pareto.hypervolume(of: points, reference: [8, 8]) == 38)
        #expect(Pareto.hypervolume(of: points.reversed() + [[5, 5]], reference: [8, 8]) == 38)
        #expect(Pareto.hypervolume(of: points, reference: [3, 3]) == 0)
        #expect(Pareto.hypervolume(of: [[-infinity, 0], [0, -infinity]], reference: [1, 1]) == 0)
        #expect(Pareto.hypervolume(of: [], reference: [1, 1]) == 0)
    }

    @Test func hypervolumeIsMonotonic() {
        var generator = RandomGenerator(seed: 6)
        var points: [[Double]] = []
        var last = 0.0
        for _ in 0..<200 {
            points.append([generator.unit() * 1.2, generator.unit() * 1.2])
            let area = Pareto.hypervolume(of: points, reference: [1, 1])
            #expect(area >= last)
            #expect(area == Pareto.hypervolume(of: Pareto.front(of: points).map { points[$0] }, reference: [1, 1]))
            last = area
        }
        #expect(last > 0.8)
    }
}
