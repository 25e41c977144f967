"""Statistics of rounds: medians, spread and noise of f64[R, P] milliseconds of P programs.

Every round visits every program once in random order, so a machine that is slow for a while is slow
for all programs: the round's factor removes that. NaN marks a sample that the clock spoilt.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

AGREEMENT = 0.05  # relative: two medians that differ by less agree
MAX_TWIN_DIFFERENCE, MIN_RETEST = 0.02, 0.95  # a device beyond these is noisy
MAX_SLOWDOWN = 1.3  # times the best round: slower rounds are left out
OUTLIER_MADS = 3.0  # MADs


class RoundSummary(NamedTuple):
    latency_ms: np.ndarray  # f64[P], median over rounds, normalised by the rounds' factors
    spread_ms: np.ndarray  # f64[P], 1.4826 MAD between rounds: a standard deviation, if normal
    minimum_ms: np.ndarray  # f64[P], the minimum sample, not normalised
    samples: np.ndarray  # i64[P], number of samples in the median
    factors: np.ndarray  # f64[R], relative slowness of each round; the median of used ones is 1
    used: np.ndarray  # bool[R], whether the round counts


class MeasurementNoise(NamedTuple):
    """How well measurements of the same computation agree."""

    twins: float | None  # median |log ratio| within pairs of equal programs
    retest: float | None  # share within 5 % of the other half of the rounds
    pairs: int
    reasons: tuple[str, ...]  # reasons why the device is noisy; empty: it is not


class Ceiling(NamedTuple):
    """The metrics of a perfect predictor against these noisy measurements."""

    spearman: float
    within5: float
    within10: float


def summarise(rounds_ms: np.ndarray) -> RoundSummary:
    """Medians over rounds, normalised by the rounds' factors.

    A round's factor is the median over programs of its samples relative to the programs' medians.
    (The protocol divides by the round's median; among programs of unlike size that is the time of
    a single program.) Rounds slower than 1.3 times the best and than the median round are
    left out, then samples further than 3 MAD from their median. Raises ValueError where a
    program has no sample.
    """
    m = np.asarray(rounds_ms, float)
    if m.ndim != 2 or not m.size:
        raise ValueError(f"Rounds are a matrix [round, program], not of shape {m.shape}.")
    valid = np.isfinite(m)
    if not valid.any(0).all():
        raise ValueError(
            f"Program {int(np.flatnonzero(~valid.any(0))[0])} has no valid sample: measure again."
        )
    factors = np.ones(len(m))
    for _ in range(2):  # a second time with medians of normalised rounds
        typical = _median(m / factors[:, None], 0)
        factors = _median(m / typical, 1)
        factors[np.isnan(factors)] = np.inf  # a round without samples
    # At most half are left out: a machine that is always busy has no best rounds. The factors of
    # interrupted rows are unreliable, so they do not set the limit.
    comparable = factors[2 * valid.sum(1) >= m.shape[1]]
    comparable = comparable if len(comparable) else factors
    limit = max(MAX_SLOWDOWN * comparable.min(), np.median(comparable))
    used = np.isfinite(factors) & (factors <= limit)
    # A program sampled only in slow rounds keeps all rounds in.
    if not valid[used].any(0).all():
        used = np.isfinite(factors)
    factors = factors / np.median(factors[used])
    normalised = m[used] / factors[used, None]
    median = _median(normalised, 0)
    deviation = np.abs(normalised - median)
    mad = _median(deviation, 0)
    inliers = normalised.copy()
    inliers[(deviation > OUTLIER_MADS * mad) & (mad > 0)] = np.nan
    samples = np.isfinite(inliers).sum(0)
    return RoundSummary(
        _median(inliers, 0), 1.4826 * mad, np.nanmin(m, 0), samples, factors, used
    )  # fmt: skip


def retest(rounds_ms: np.ndarray) -> float | None:
    """Share of programs whose medians over the two halves of the rounds agree within 5 %.

    After one global scale. None for fewer than four rounds, and where a half lacks a program.
    """
    half = len(rounds_ms) // 2
    parts = rounds_ms[:half], rounds_ms[half:]
    if half < 2 or not all(np.isfinite(part).any(0).all() for part in parts):
        return None
    first, second = (summarise(part).latency_ms for part in parts)
    ratio = second / first
    return float(np.mean(np.abs(ratio / np.median(ratio) - 1) <= AGREEMENT))


def differences(latency_ms: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """f64[pairs]: |log ratio| of the times of each pair of twins."""
    indices = np.asarray(pairs, int).reshape(-1, 2)
    return np.abs(np.log(latency_ms[indices[:, 0]] / latency_ms[indices[:, 1]]))


def noise(rounds_ms: np.ndarray, pairs: Sequence[tuple[int, int]]) -> MeasurementNoise:
    """Noise of a device: twins should agree within 2 % (median), 95 % of retests within 5 %.

    The two halves of the rounds serve as test and retest. Limits: docs/measuring.md.
    """
    twin_differences = differences(summarise(rounds_ms).latency_ms, pairs)
    twins = float(np.median(twin_differences)) if len(twin_differences) else None
    share, reasons = retest(rounds_ms), []
    if twins is not None and twins > MAX_TWIN_DIFFERENCE:
        reasons.append(f"equal programs differ by {twins:.1%} (limit {MAX_TWIN_DIFFERENCE:.0%})")
    if share is None:
        reasons.append("there are too few rounds to measure twice")
    elif share < MIN_RETEST:
        reasons.append(
            f"{share:.0%} of the programs repeat within {AGREEMENT:.0%} (limit {MIN_RETEST:.0%})"
        )
    return MeasurementNoise(twins, share, len(twin_differences), tuple(reasons))


def ceiling(
    latency_ms: np.ndarray, twin_differences: np.ndarray, seed: int = 0, draws: int = 20
) -> Ceiling | None:
    """The metrics of a perfect predictor, by simulating errors from the twins' differences.

    Errors of a measurement are drawn from the twins' |log ratio| / sqrt(2) with a random sign, so
    heavy tails are kept. None without twins or with fewer than two programs.
    """
    if not len(twin_differences) or len(latency_ms) < 2:
        return None
    random = np.random.default_rng(seed)
    shape = (draws, len(latency_ms))
    errors = (
        random.choice(twin_differences, shape) * random.choice([-1.0, 1.0], shape) / math.sqrt(2)
    )
    # measured = true * exp(error); a perfect predictor gives `true`.
    relative_errors = np.abs(np.exp(-errors) - 1)
    ranks = [_spearman(latency_ms, latency_ms * np.exp(e)) for e in errors]
    return Ceiling(
        float(np.mean(ranks)),
        float(np.mean(relative_errors <= 0.05)),
        float(np.mean(relative_errors <= 0.10)),
    )


def relative_error(summary: RoundSummary) -> float:
    """Median over programs of the relative standard error of the median."""
    error = 1.2533 * summary.spread_ms / np.sqrt(np.maximum(summary.samples, 1))
    return float(np.median(error / summary.latency_ms))


def _median(m: np.ndarray, axis: int) -> np.ndarray:
    """nanmedian without warnings: NaN for slices without a value."""
    masked = np.ma.masked_invalid(m)
    return np.ma.median(masked, axis=axis).filled(np.nan)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(x, kind="stable"), kind="stable") for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])
