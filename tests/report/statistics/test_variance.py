"""Components of variance, and scores relative to random: by hand."""

import math

import pytest
import scipy.stats

from jaxnas.report.statistics import relative, variance


def test_balanced_components_are_mean_squares():
    # Within: (1 + 1 + 1 + 1) / 2 = 2. Between: 2 (4 + 4) / 1 = 16. (16 - 2) / 2 = 7.
    made = variance.components([[1.0, 3.0], [5.0, 7.0]])
    assert made.evaluation_sd == pytest.approx(math.sqrt(2))
    assert made.search_sd == pytest.approx(math.sqrt(7))
    assert made.share == pytest.approx(7 / 9)
    assert (made.cells, made.trainings) == (2, 4)
    assert made.p == pytest.approx(scipy.stats.f_oneway([1.0, 3.0], [5.0, 7.0]).pvalue)


def test_unequal_numbers_of_trainings():
    cells = [[1.0, 3.0], [5.0, 7.0], [4.0]]
    made = variance.components(cells)
    # n0 = (5 - 9 / 5) / 2 = 1.6; grand mean 4; between (8 + 8 + 0) / 2 = 8; within 4 / 2 = 2.
    assert made.search_sd**2 == pytest.approx((8 - 2) / 1.6)
    assert made.p == pytest.approx(scipy.stats.f_oneway(*cells).pvalue)


def test_what_training_explains_leaves_nothing_to_the_search():
    made = variance.components([[1.0, 5.0], [5.0, 1.0]])
    assert (made.search_sd, made.share) == (0.0, 0.0)


def test_single_trainings_and_single_cells_are_not_taken_apart():
    assert math.isnan(variance.components([[1.0], [2.0]]).search_sd)
    one = variance.components([[1.0, 3.0]])
    assert one.evaluation_sd == pytest.approx(math.sqrt(2)) and math.isnan(one.share)


def test_improvement_is_relative_to_the_mean_of_random():
    # NAS evaluation is frustratingly hard, section 3.1: RI = (Acc_m - Acc_r) / Acc_r.
    assert relative.improvement(97.0, [96.0, 94.0]) == pytest.approx(2 / 95)
    assert relative.improvement(97.0, []) is None
    assert relative.error_reduction(0.97, [0.96, 0.94]) == pytest.approx(0.4)
    assert relative.error_reduction(1.0, [1.0]) is None
