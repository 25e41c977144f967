"""Scores relative to those of random architectures."""

import statistics
from collections.abc import Sequence


def improvement(score: float, random: Sequence[float]) -> float | None:
    """(score - mean of random) / mean of random, as a fraction; None without random ones.

    The relative improvement RI of "NAS evaluation is frustratingly hard", section 3.1, where the
    random architectures are of the same space and trained by the same protocol.
    https://arxiv.org/abs/1912.12522
    """
    if not random or statistics.fmean(random) <= 0:
        return None
    mean = statistics.fmean(random)
    return (score - mean) / mean


def error_reduction(top1: float, random: Sequence[float]) -> float | None:
    """How far an error is below the mean error of random architectures, as a share of that.

    Of accuracies within 0 and 1; None without random ones, or if they make no error.
    """
    if not random or statistics.fmean(random) >= 1:
        return None
    error = 1 - statistics.fmean(random)
    return (error - (1 - top1)) / error
