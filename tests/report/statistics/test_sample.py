"""A sample over seeds: against definitions, and values that are no sample."""

import math
import statistics

import numpy as np
import pytest

from jaxnas.report.statistics import sample


def test_describes_what_is_known():
    described = sample.describe([91.0, None, 93.5, float("nan"), 90.0])
    assert described.count == 3
    assert described.mean == pytest.approx(91.5)
    assert described.sd == pytest.approx(np.std([91.0, 93.5, 90.0], ddof=1))
    assert 90 < described.low < described.mean < described.high <= 93.5
    # Its seed is fixed.
    assert described == sample.describe([91.0, 93.5, 90.0])


def test_the_interval_of_many_values_is_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(5, 2, 400)
    described = sample.describe(values.tolist())
    half = 1.96 * values.std(ddof=1) / 20
    assert described.low == pytest.approx(values.mean() - half, abs=0.03)
    assert described.high == pytest.approx(values.mean() + half, abs=0.03)


def test_one_value_and_equal_values_have_no_spread_to_speak_of():
    one, none = sample.describe([3.0]), sample.describe([None])
    assert (one.count, one.mean) == (1, 3.0) and math.isnan(one.sd) and math.isnan(one.low)
    assert none.count == 0 and math.isnan(none.mean)
    assert sample.describe([2.0, 2.0]) == (2, 2.0, 0.0, 2.0, 2.0)


def test_the_spread_is_a_mean_and_a_deviation_in_words():
    assert sample.spread([90.0, None, 92.0], 1) == "91.0 ± 1.4"
    assert sample.spread([None], 1) == "–"


def test_the_mean_and_the_spread_are_over_what_is_known():
    values = [91.0, 93.5, 90.0]
    expected = f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert sample.spread([None, *values], 2) == expected
    assert sample.spread([91.0, None], 1) == "91.0"
    assert sample.spread([None], 1) == "–"


def test_the_interval_of_three_values_holds_as_often_as_the_page_says():
    draws = np.random.default_rng(1).normal(size=(200, 3)).tolist()
    held = [interval.low <= 0 <= interval.high for interval in map(sample.describe, draws)]
    # Four standard errors of 200 samples on either side.
    assert np.mean(held) == pytest.approx(sample.COVERAGE[3], abs=0.13)
