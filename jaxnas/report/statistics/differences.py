"""Differences of pairs: what Student's paired t and Wilcoxon's signed ranks say of them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from jaxnas.report.statistics.sample import LEVEL

ROUNDING = 1e-9  # relative: differences nearer to each other than that are equal


class PairedDifferences(NamedTuple):
    """Ours less theirs.

    The mean is NaN without pairs; interval and probabilities are, too, where they are fewer than
    two or all alike.
    """

    count: int
    mean: float
    low: float  # of the 95 % interval of the mean
    high: float
    p_mean: float  # two-sided
    median: float
    p_ranks: float  # two-sided, exact up to 50 pairs without ties
    ahead: int  # differences above 0


def of(differences: Sequence[float]) -> PairedDifferences:
    """The statistics of ours less theirs, pair by pair."""
    values, count = np.asarray(differences, float), len(differences)
    ahead = int((values > 0).sum())
    if count < 2 or np.ptp(values) <= ROUNDING * np.abs(values).max():
        mean = float(values.mean()) if count else math.nan
        return PairedDifferences(count, mean, *[math.nan] * 3, mean, math.nan, ahead)
    tested = scipy.stats.ttest_1samp(values, 0.0)
    interval = tested.confidence_interval(LEVEL)
    ranks = scipy.stats.wilcoxon(values)
    return PairedDifferences(
        count, float(values.mean()), float(interval.low), float(interval.high),
        float(tested.pvalue), float(np.median(values)), float(ranks.pvalue), ahead,
    )  # fmt: skip


def cells(differences: PairedDifferences, digits: int = 2) -> tuple[str, str, str, str]:
    """`mean`, `low to high`, `p` of the mean, `ahead of count`; dashes for NaN."""
    text = lambda value, form: "–" if math.isnan(value) else format(value, form)
    signed, low, high = f"+.{digits}f", differences.low, differences.high
    interval = "–" if math.isnan(low) else f"{low:{signed}} to {high:{signed}}"
    ahead = f"{differences.ahead} of {differences.count}"
    return text(differences.mean, signed), interval, text(differences.p_mean, ".3f"), ahead
