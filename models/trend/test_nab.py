"""The scorer held against cases computed by hand, and the detector against a truncated future: `python test_nab.py`."""

import math
import unittest

import detector
import nab
import numpy as np

ROWS = 10_000  # so that 750 are probationary
WINDOWS = [(2000, 2099), (6000, 6199)]


def score(detections: list[int], windows=WINDOWS) -> float:
    return nab.pooled([nab.judge(detections, windows, ROWS)])


class Scorer(unittest.TestCase):
    def test_no_detection_is_0_and_perfect_detection_is_100(self):
        self.assertEqual(score([]), 0)
        self.assertAlmostEqual(score([2000, 6000]), 100)

    def test_a_detection_in_the_middle(self):
        # Row 2050 of 2000 to 2099: y = -(2099 - 2050 + 1) / 100 = -0.5; s(-0.5) = 2 / (1 + e^-2.5) - 1 = 0.848284,
        # s(-1) = 2 / (1 + e^-5) - 1 = 0.986614; so 0.859793 for this window, -1 for the other: 100 (0.859793 - 1 + 2) / 4.
        self.assertAlmostEqual(score([2050]), 46.49481, places=5)

    def test_only_the_earliest_in_a_window_counts(self):
        self.assertEqual(score([2050, 2051, 2099]), score([2050]))
        self.assertEqual(score([2099, 2050]), score([2050]))

    def test_the_last_row_of_a_window_counts_little(self):
        # y = -1 / 100: s(-0.01) = 0.0249948, over 0.986614: 0.0253339; 100 (0.0253339 + 1) / 4.
        self.assertAlmostEqual(score([2099]), 25.633348, places=5)

    def test_false_positives_cost_more_with_the_distance_from_the_window_before(self):
        # 0.11 each before the first window: 100 (-0.11) / 4.
        self.assertAlmostEqual(score([1000]), -2.75)
        # One row behind: y = 1 / 99, s = -0.0252485; 0.11 of it.
        self.assertAlmostEqual(score([2100]), 25 * 0.11 * (2 / (1 + math.exp(5 / 99)) - 1))
        # y = 99 / 99 = 1: s(1) = -0.986614.
        self.assertAlmostEqual(score([2198]), -2.713189, places=5)
        # Farther than three widths: all of it. Each row costs.
        self.assertAlmostEqual(score([5000, 5001]), -5.5)
        # The window before is the later one, of 200 rows: y = 199 / 199.
        self.assertAlmostEqual(score([6398]), -2.713189, places=5)

    def test_the_probationary_period_is_not_scored(self):
        self.assertEqual(nab.probation(ROWS), 750)
        self.assertEqual(nab.probation(1000), 150)
        self.assertEqual(score([0, 749]), 0)
        self.assertLess(score([750]), 0)

    def test_series_are_pooled_by_windows(self):
        all_found = nab.judge([100], [(100, 200)], 300)
        none_found = nab.judge([], [(100, 200), (210, 250), (260, 290)], 300)
        self.assertAlmostEqual(nab.pooled([all_found, none_found]), 25)


class Detector(unittest.TestCase):
    def test_the_future_changes_nothing(self):
        series = detector.golden_series()
        whole = detector.mean_rarity(series, detector.Parameters())
        for cut in (36, 401, 1508, 4703):
            np.testing.assert_array_equal(detector.mean_rarity(series[:cut], detector.Parameters()), whole[:cut])


if __name__ == "__main__":
    unittest.main()
