"""Paired tests: against scipy's own, Holm's correction by hand, and what cannot be tested."""

import numpy as np
import pytest
import scipy.stats

from jaxnas.report.statistics import paired


def scores(**methods):
    return {name: dict(enumerate(values)) for name, values in methods.items()}


def test_a_comparison_is_students_paired_t():
    ours, theirs = [91.0, 92.5, 90.5, 93.0], [90.0, 91.0, 90.6, 91.2]
    made = paired.compare(scores(a=ours, b=theirs), "a", "b")
    tested = scipy.stats.ttest_rel(ours, theirs)
    interval = tested.confidence_interval(0.95)
    assert made.p == pytest.approx(tested.pvalue)
    assert (made.low, made.high) == pytest.approx((interval.low, interval.high))
    assert made.difference == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert (made.seeds, made.ahead) == (4, 3)


@pytest.mark.parametrize(
    ("gains", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),
        ([-1.0, -2.0, -3.0], 2 / 8),
        # Of the 8 sums of signs, 4 are as far from 0: 3 + 2 + 1, 3 + 2 - 1, and their opposites.
        ([-1.0, 2.0, 3.0], 4 / 8),
        ([1.0] * 10, 2 / 1024),
    ],
)
def test_the_test_of_signs_counts_them_all(gains, p):
    assert paired.sign_test(np.array(gains)) == pytest.approx(p)


def test_holm_corrects_step_by_step():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04 not below the one before.
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert paired.holm([0.9, 0.8]) == [1.0, 1.0]
    assert paired.holm([]) == []


def test_all_pairs_are_corrected_together_or_those_with_a_baseline():
    table = scores(a=[1.0, 2.0, 4.0], b=[1.5, 2.1, 3.0], c=[0.2, 0.1, 0.9])
    pairs = paired.comparisons(table)
    assert [(c.first, c.second) for c in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [c.p_holm for c in pairs] == paired.holm([c.p for c in pairs])
    against = paired.comparisons(table, "c")
    assert [(c.first, c.second) for c in against] == [("a", "c"), ("b", "c")]
    assert against[0].p_holm <= pairs[1].p_holm
    with pytest.raises(ValueError, match="'d' is none of the compared: a, b, c"):
        paired.comparisons(table, "d")


def test_only_common_seeds_are_compared():
    table = {"a": {0: 1.0, 1: 2.0, 5: 9.0}, "b": {1: 1.5, 0: 1.0, 7: 3.0}, "c": {0: 1.0}}
    assert paired.compare(table, "a", "b").difference == pytest.approx(0.25)
    assert paired.compare(table, "a", "c") is None


def test_equal_differences_of_few_seeds_prove_nothing():
    ahead = paired.compare(scores(a=[2.0, 3.0], b=[1.0, 2.0]), "a", "b")
    assert (ahead.p, ahead.low, ahead.high) == (0.5, 1.0, 1.0)
    assert paired.compare(scores(a=[0.3, 0.4], b=[0.2, 0.3]), "a", "b").p == 0.5  # but for rounding
    same = paired.compare(scores(a=[2.0, 3.0], b=[2.0, 3.0]), "a", "b")
    assert same.p == 1.0
