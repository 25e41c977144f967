"""Paired tests of methods over seeds, corrected for the number of comparisons."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from jaxnas.report.statistics import differences

Scores = Mapping[str, Mapping[int, float]]  # method -> seed -> score, more is better
# Beyond so many pairs the signs are drawn, not enumerated.
SIGNS = 2**16


class Comparison(NamedTuple):
    """One method less another, over the seeds that both have."""

    first: str
    second: str
    seeds: int
    difference: float  # mean of first less second
    low: float  # of its interval, by Student's t
    high: float
    p: float  # Student's paired t, two-sided; `p_signs` if all differences are equal
    p_holm: float  # corrected for all comparisons of the table
    p_signs: float  # of all exchanges of the two within a seed: exact, without a law
    median: float  # of first less second
    p_ranks: float  # Wilcoxon's signed ranks, two-sided
    ahead: int  # seeds in which `first` is better


def comparisons(scores: Scores, baseline: str | None = None) -> list[Comparison]:
    """All pairs of methods, or each against a baseline; pairs of fewer than two seeds left out.

    The order of `scores` is kept. Raises ValueError for a baseline that is no method.
    """
    if baseline is not None and baseline not in scores:
        raise ValueError(f"The baseline {baseline!r} is none of the compared: {', '.join(scores)}.")
    if baseline is None:
        pairs = list(itertools.combinations(scores, 2))
    else:
        pairs = [(name, baseline) for name in scores if name != baseline]
    made = [compare(scores, *pair) for pair in pairs]
    made = [comparison for comparison in made if comparison is not None]
    corrected = holm([comparison.p for comparison in made])
    return [c._replace(p_holm=p) for c, p in zip(made, corrected, strict=True)]


def compare(scores: Scores, first: str, second: str) -> Comparison | None:
    """The comparison of two methods, not corrected; None of fewer than two common seeds."""
    ours, theirs = scores[first], scores[second]
    seeds = sorted(ours.keys() & theirs.keys())
    if len(seeds) < 2:
        return None
    gains = np.array([ours[seed] - theirs[seed] for seed in seeds])
    tested, exact = differences.of(gains), sign_test(gains)
    mean, low, high = tested.mean, tested.low, tested.high
    p, p_ranks = tested.p_mean, tested.p_ranks
    if math.isnan(p):  # equal gains, of which few prove nothing
        low, high, p, p_ranks = mean, mean, exact, exact
    return Comparison(
        first, second, len(seeds), mean, low, high, p, p, exact, tested.median, p_ranks,
        tested.ahead,
    )  # fmt: skip


def sign_test(gains: np.ndarray) -> float:
    """Two-sided p of the mean of gains, f64[n], among all 2^n choices of their signs.

    Fisher's permutation test of pairs: at least 2 / 2^n, whatever the gains. Beyond 2^16 choices
    so many are drawn.
    """
    test = scipy.stats.permutation_test(
        (gains,), np.mean, permutation_type="samples", vectorized=True, n_resamples=SIGNS, rng=0
    )
    return float(test.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p corrected step by step for so many comparisons, at most 1.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the i-th smallest of m is
    multiplied by m - i + 1, and none is below one before it. scipy has only false discovery rates.
    """
    order, largest = np.argsort(p_values, kind="stable"), 0.0
    corrected = [math.nan] * len(p_values)
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
