"""Rank correlation of scores with the true performance, and the regret of the best by scores."""

from collections.abc import Callable, Mapping, Sequence
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


class Agreement(NamedTuple):
    """Kendall's tau-b of a ranking with the truth, over all cells and over parts of them."""

    all: float
    connected: float  # cells through which data reach the output
    lower: float  # cells of a truth below the median
    upper: float  # the others


def agreement(scores: np.ndarray, truth: np.ndarray, connected: np.ndarray) -> Agreement:
    """tau-b of scores, f[n], with the truth, f[n]; `connected`: bool[n]. In both more is better.

    NaN of a part with fewer than two cells, or that has equal scores throughout.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, np.float64)
    is_lower = truth < np.median(truth)
    parts = (np.ones(len(truth), bool), np.asarray(connected, bool), is_lower, ~is_lower)
    return Agreement(*(kendall(scores[part], truth[part]) for part in parts))


def kendall(scores: np.ndarray, truth: np.ndarray) -> float:
    """tau-b; NaN of fewer than two cells, and of scores or truths that are all equal."""
    if len(scores) < 2 or np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return float("nan")
    return float(scipy.stats.kendalltau(scores, truth).statistic)


def sum_of_ranks(*scores: np.ndarray) -> np.ndarray:
    """f64[n]: the sum of each cell's ranks by several scores, f[n]; equal scores share a rank."""
    return np.sum([scipy.stats.rankdata(row) for row in scores], axis=0)


class Gain(NamedTuple):
    """How far one tau is above another, over cells drawn anew with replacement."""

    mean: float  # of the cells as they are
    low: float  # the 95 % interval
    high: float
    share_not_above: float  # of the draws, in which the gain is 0 or less


def gain(
    scores: Callable[[np.ndarray], np.ndarray],
    baseline: np.ndarray,
    truth: np.ndarray,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Gain:
    """The gain of `scores(rows)` over a baseline, f[n], in tau-b with the truth, f[n].

    `scores` are made for the cells that are drawn, i[n], since ranks among them are others.
    """
    random, count = np.random.default_rng(seed), len(truth)
    above = lambda rows: kendall(scores(rows), truth[rows]) - kendall(baseline[rows], truth[rows])
    drawn = np.array([above(random.integers(count, size=count)) for _ in range(draws)])
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Gain(above(np.arange(count)), float(low), float(high), float((drawn <= 0).mean()))


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
