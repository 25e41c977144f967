"""Metrics of predicted latencies: rank correlation, accuracy, interval coverage."""

from typing import NamedTuple

import numpy as np
import scipy.stats


class Quality(NamedTuple):
    spearman: float
    kendall: float
    within5: float  # percent of networks whose error is at most 5 %
    within10: float
    mdape: float  # median absolute error, percent
    coverage90: float  # percent of measurements within their 90 % interval


def quality(measured, predicted, low, high) -> Quality:
    """The metrics of f[N] milliseconds each; rank correlations are 0 where all values are equal.

    Raises ValueError for fewer than two networks.
    """
    measured, predicted = np.asarray(measured, float), np.asarray(predicted, float)
    if len(measured) < 2:
        raise ValueError(f"{len(measured)} held-out networks are too few to judge: give two.")
    error = np.abs(predicted / measured - 1)
    flat = np.ptp(predicted) == 0 or np.ptp(measured) == 0
    ranks = [scipy.stats.spearmanr, scipy.stats.kendalltau]
    spearman, kendall = (0.0 if flat else float(f(predicted, measured)[0]) for f in ranks)
    shares = [100 * float(np.mean(error <= share)) for share in (0.05, 0.1)]
    covered = 100 * float(np.mean((measured >= low) & (measured <= high)))
    return Quality(spearman, kendall, *shares, 100 * float(np.median(error)), covered)


def mean(qualities: list[Quality]) -> Quality:
    """The mean of each metric."""
    return Quality(*np.mean(qualities, 0).tolist())
