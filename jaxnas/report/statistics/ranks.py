"""Mean ranks of methods over blocks, with the critical difference of two of them."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from jaxnas.report.statistics.paired import Scores
from jaxnas.report.statistics.sample import LEVEL


class Ranks(NamedTuple):
    """Rank 1 is the best; equal scores share a rank. The best method is the first one."""

    mean: Mapping[str, float]
    blocks: int  # seeds that all methods have
    p: float  # that all methods are equal: Friedman's test
    critical_difference: float  # of two mean ranks


def ranks(scores: Scores) -> Ranks | None:
    """Mean ranks over the seeds that all methods have; None of fewer than 3 methods or 2 seeds.

    Friedman's test and the Nemenyi test after it: Demšar 2006, "Statistical comparisons of
    classifiers over multiple data sets", 3.2.2, with seeds of one data set as blocks in place of
    data sets (our own choice: it says which method is better here, not elsewhere).
    """
    names = list(scores)
    seeds = sorted(set.intersection(*(set(scores[name]) for name in names))) if names else []
    if len(names) < 3 or len(seeds) < 2:
        return None
    table = np.array([[scores[name][seed] for name in names] for seed in seeds])  # [blocks, k]
    mean = scipy.stats.rankdata(-table, axis=1).mean(0)
    p = 1.0
    if (np.ptp(table, axis=1) > 0).any():  # else all are tied, 0/0
        p = float(scipy.stats.friedmanchisquare(*table.T).pvalue)
    order = np.argsort(mean, kind="stable")
    means = {names[i]: float(mean[i]) for i in order}
    return Ranks(means, len(seeds), p, critical_difference(len(names), len(seeds)))


def critical_difference(methods: int, blocks: int, level: float = LEVEL) -> float:
    """q sqrt(k (k + 1) / 6 N), q the studentised range over sqrt(2): Demšar 2006, equation 5."""
    q = scipy.stats.studentized_range.ppf(level, methods, np.inf) / math.sqrt(2)
    return float(q * math.sqrt(methods * (methods + 1) / (6 * blocks)))


def groups(mean: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """(first, last) of the longest runs of ascending mean ranks that differ by less."""
    runs: list[tuple[int, int]] = []
    for first in range(len(mean)):
        last = max(i for i in range(first, len(mean)) if mean[i] - mean[first] < difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs
