"""Tests of the measures. Run with: python3 -m unittest discover -s scripts -t scripts -p 'test_*.py'"""

import math
import random
import unittest

from paper.measures import Point, front, hypervolume, interval, pick, ranks, spearman, student_cdf, student_quantile


class FrontTests(unittest.TestCase):
    points = [Point(0.5, 30, "a"), Point(0.4, 20, "b"), Point(0.6, 25, "dominated"), Point(0.4, 19, "c"), Point(0.9, 40, "d"), Point(0.5, 30, "twin")]

    def test_front_keeps_non_dominated_points_once_by_cost(self) -> None:
        self.assertEqual([point.name for point in front(self.points)], ["b", "a", "d"])

    def test_hypervolume_of_rectangles(self) -> None:
        self.assertAlmostEqual(hypervolume([Point(0.5, 30)], 1.1, 0), 0.6 * 30)
        self.assertAlmostEqual(hypervolume(self.points, 1.1, 0), 0.2 * 40 + 0.4 * 30 + 0.1 * 20)
        self.assertAlmostEqual(hypervolume([Point(0.5, -1.0)], 1.1, -3), 0.6 * 2)

    def test_points_outside_the_reference_add_nothing(self) -> None:
        self.assertAlmostEqual(hypervolume(self.points, 0.95, 0), 0.05 * 40 + 0.4 * 30 + 0.1 * 20)
        self.assertEqual(hypervolume([Point(0.96, 90), Point(0.2, -1)], 0.95, 0), 0)
        self.assertEqual(hypervolume([], 1.1, 0), 0)

    def test_hypervolume_agrees_with_sampling(self) -> None:
        generator = random.Random(1)
        points = [Point(generator.random(), generator.random()) for _ in range(40)]
        samples = [(generator.random(), generator.random()) for _ in range(20_000)]
        share = sum(any(p.cost <= x and p.quality >= y for p in points) for x, y in samples) / len(samples)
        self.assertAlmostEqual(hypervolume(points, 1, 0), share, delta=0.015)

    def test_pick_is_the_best_affordable_member(self) -> None:
        members = front(self.points)
        self.assertEqual(pick(members, 0.55), Point(0.5, 30, "a"))
        self.assertEqual(pick(members, 0.5), Point(0.5, 30, "a"))
        self.assertEqual(pick(members, 2), Point(0.9, 40, "d"))
        self.assertIsNone(pick(members, 0.3))


class RankTests(unittest.TestCase):
    def test_ties_share_their_mean_rank(self) -> None:
        self.assertEqual(ranks([3.0, 1.0, 3.0, 2.0]), [2.5, 0.0, 2.5, 1.0])

    def test_spearman(self) -> None:
        self.assertAlmostEqual(spearman([1, 2, 3, 4], [10, 100, 1000, 1001]) or 0, 1)
        self.assertAlmostEqual(spearman([1, 2, 3, 4], [4, 3, 2, 1]) or 0, -1)
        # 1 - 6 sum d^2 / (n (n^2 - 1)) for values without ties: d = 0, 1, -1, 0.
        self.assertAlmostEqual(spearman([1, 2, 3, 4], [1, 3, 2, 4]) or 0, 1 - 6 * 2 / (4 * 15))
        # scipy.stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]).
        self.assertAlmostEqual(spearman([1, 2, 2, 4], [1, 3, 2, 4]) or 0, 0.9486832980505138)

    def test_spearman_of_constants_and_single_pairs_is_undefined(self) -> None:
        self.assertIsNone(spearman([1, 1, 1], [1, 2, 3]))
        self.assertIsNone(spearman([1], [1]))
        with self.assertRaises(ValueError):
            spearman([1, 2], [1])


class StudentTests(unittest.TestCase):
    def test_quantiles_of_the_published_tables(self) -> None:
        table = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 5: 2.5706, 9: 2.2622, 30: 2.0423, 100: 1.9840}
        for freedom, value in table.items():
            self.assertAlmostEqual(student_quantile(0.975, freedom), value, places=4)
        self.assertAlmostEqual(student_quantile(0.995, 7), 3.4995, places=4)

    def test_distribution_is_symmetric_and_tends_to_the_normal_one(self) -> None:
        for freedom in (1, 2, 3, 8, 15):
            self.assertAlmostEqual(student_cdf(1.3, freedom) + student_cdf(-1.3, freedom), 1)
        self.assertAlmostEqual(student_cdf(1.96, 2000), 0.975, places=3)

    def test_interval_of_five_values(self) -> None:
        result = interval([1, 2, 3, 4, 5])
        margin = 2.7764451 * math.sqrt(2.5 / 5)
        self.assertAlmostEqual(result.mean, 3)
        self.assertAlmostEqual(result.lower or 0, 3 - margin, places=5)
        self.assertAlmostEqual(result.upper or 0, 3 + margin, places=5)

    def test_one_value_has_no_interval_and_non_finite_ones_are_refused(self) -> None:
        self.assertEqual(interval([2.0]), (2.0, None, None, 1))
        for values in ([], [1.0, math.nan], [math.inf]):
            with self.assertRaises(ValueError):
                interval(values)


if __name__ == "__main__":
    unittest.main()
