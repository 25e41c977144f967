"""Rank correlation of scores with the true performance, and the regret of the best by scores."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats


class RankCorrelation(NamedTuple):
    """Agreement of a ranking by scores with the truth; NaN if the scores are all equal."""

    kendall: float  # tau-b
    spearman: float
    regret: Mapping[int, float]  # k -> truth of the best less that of the best among the top k


def rank_correlation(
    scores: np.ndarray, truth: np.ndarray, top: Sequence[int] = (1, 10, 100)
) -> RankCorrelation:
    """Compares scores, f32[n], with the truth, f64[n]; in both, more is better.

    Equal scores keep their order, on which the regret depends if a supernet scores many cells
    equally. A `top` above n is omitted. Raises ValueError for fewer than two cells, other shapes,
    values that are not finite, and a `top` below one.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, np.float64)
    if scores.ndim != 1 or scores.shape != truth.shape or len(scores) < 2:
        raise ValueError(
            f"Scores {scores.shape} and truth {truth.shape} are not two lists of equal length, "
            "two cells or more."
        )
    if not (np.isfinite(scores).all() and np.isfinite(truth).all()):
        raise ValueError(
            "Some scores or true values are not finite, so that they have no order: leave those "
            "cells out."
        )
    order = np.argsort(-scores, kind="stable")
    reached = np.maximum.accumulate(truth[order])
    regret = {k: float(truth.max() - reached[k - 1]) for k in _tops(top, len(truth))}
    if np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return RankCorrelation(float("nan"), float("nan"), regret)
    kendall = float(scipy.stats.kendalltau(scores, truth).statistic)
    return RankCorrelation(kendall, float(scipy.stats.spearmanr(scores, truth).statistic), regret)


def random_regret(truth: np.ndarray, top: Sequence[int] = (1, 10, 100)) -> dict[int, float]:
    """The mean top-k regret of a ranking at random, exactly: the null of `rank_correlation`.

    The best of k among n is the i-th smallest with probability C(i-1, k-1) / C(n, k).
    """
    ascending = np.sort(np.asarray(truth, np.float64))
    n, regret = len(ascending), {}
    for k in _tops(top, n):
        # From the best down: the probability that it is drawn, or else the next one, ...
        below = np.arange(n - k + 1)
        absent = np.cumprod((n - k - below) / (n - below))
        probabilities = np.concatenate([[1.0], absent[:-1]]) * k / (n - below)
        regret[k] = float(ascending[-1] - probabilities @ ascending[::-1][: n - k + 1])
    return regret


def _tops(top: Sequence[int], count: int) -> list[int]:
    if min(top, default=1) < 1:
        raise ValueError(f"The best {min(top)} cells are none: give k of 1 or more.")
    return [k for k in top if k <= count]
