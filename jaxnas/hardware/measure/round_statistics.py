"""What a matrix of rounds says: `f64[R, P]` milliseconds of P programs, R times in random order.

Every round visits every program once, so that a machine that is slower for a while is slower for
all of them: the round's factor takes that out. NaN marks a sample that the clock spoilt.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

WITHIN = 0.05  # two medians agree if they differ by no more
TWINS_LIMIT, RETEST_LIMIT = 0.02, 0.95  # a device beyond these is called noisy
SLOW_ROUND = 1.3  # times the best round: left out
OUTLIER = 3.0  # MADs


class Summary(NamedTuple):
    latency_ms: np.ndarray  # f64[P], median over rounds, normalised by the rounds' factors
    spread_ms: np.ndarray  # f64[P], 1.4826 MAD between rounds: a standard deviation, if normal
    minimum_ms: np.ndarray  # f64[P], the least sample as it was read
    samples: np.ndarray  # i64[P], how many samples the median is of
    factors: np.ndarray  # f64[R], how slow each round was; the median of those kept is 1
    kept: np.ndarray  # bool[R]


class MeasurementNoise(NamedTuple):
    """How well the same computation gives the same time."""

    twins: float | None  # median |log ratio| within pairs of equal programs
    retest: float | None  # share within 5 % of the other half of the rounds
    pairs: int
    reasons: tuple[str, ...]  # why the device is called noisy; empty: it is not


class Ceiling(NamedTuple):
    """What a model that knew every true latency would score against these measurements."""

    spearman: float
    within5: float
    within10: float


def summarise(rounds_ms: np.ndarray) -> Summary:
    """Medians over rounds that are made comparable first.

    A round's factor is the median, over programs, of its samples over the programs' own medians.
    (The protocol divides by the round's median itself; among programs of unlike size that is
    the time of one of them.) Rounds slower than 1.3 times the best and than the median round are
    left out, then samples further than 3 MAD from their median. Raises ValueError where a
    program has no sample.
    """
    m = np.asarray(rounds_ms, float)
    if m.ndim != 2 or not m.size:
        raise ValueError(f"Rounds are a matrix [round, program], not of shape {m.shape}.")
    seen = np.isfinite(m)
    if not seen.any(0).all():
        raise ValueError(
            f"Program {int(np.flatnonzero(~seen.any(0))[0])} has no valid sample: measure again."
        )
    factors = np.ones(len(m))
    for _ in range(2):  # the second time with medians that the factors no longer move
        typical = _median(m / factors[:, None], 0)
        factors = _median(m / typical, 1)
        factors[np.isnan(factors)] = np.inf  # a round without samples
    # Never more than half of them: a machine that is always busy has no best rounds. Rows that
    # were cut short tell little of what a round takes.
    told = factors[2 * seen.sum(1) >= m.shape[1]]
    told = told if len(told) else factors
    limit = max(SLOW_ROUND * told.min(), np.median(told))
    kept = np.isfinite(factors) & (factors <= limit)
    # A program that only left-out rounds have seen keeps them all in.
    if not seen[kept].any(0).all():
        kept = np.isfinite(factors)
    factors = factors / np.median(factors[kept])
    even = m[kept] / factors[kept, None]
    median = _median(even, 0)
    away = np.abs(even - median)
    mad = _median(away, 0)
    near = even.copy()
    near[(away > OUTLIER * mad) & (mad > 0)] = np.nan
    samples = np.isfinite(near).sum(0)
    return Summary(
        _median(near, 0), 1.4826 * mad, np.nanmin(m, 0), samples, factors, kept
    )  # fmt: skip


def retest(rounds_ms: np.ndarray) -> float | None:
    """Share of programs whose median over the first half of the rounds is within 5 % of that
    over the second half, after one global scale. None for fewer than four rounds, and where
    a half has not seen every program."""
    half = len(rounds_ms) // 2
    parts = rounds_ms[:half], rounds_ms[half:]
    if half < 2 or not all(np.isfinite(part).any(0).all() for part in parts):
        return None
    first, second = (summarise(part).latency_ms for part in parts)
    ratio = second / first
    return float(np.mean(np.abs(ratio / np.median(ratio) - 1) <= WITHIN))


def differences(latency_ms: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """|log ratio| of each pair of programs that compute the same: f64[pairs]."""
    both = np.asarray(pairs, int).reshape(-1, 2)
    return np.abs(np.log(latency_ms[both[:, 0]] / latency_ms[both[:, 1]]))


def noise(rounds_ms: np.ndarray, pairs: Sequence[tuple[int, int]]) -> MeasurementNoise:
    """Twins must agree within 2 % (median), 95 % of the programs within 5 % when measured again.

    Two halves of the rounds stand for two sessions. Limits: our protocol's, docs/measuring.md.
    """
    away = differences(summarise(rounds_ms).latency_ms, pairs)
    twins = float(np.median(away)) if len(away) else None
    share, reasons = retest(rounds_ms), []
    if twins is not None and twins > TWINS_LIMIT:
        reasons.append(f"equal programs differ by {twins:.1%} (limit {TWINS_LIMIT:.0%})")
    if share is None:
        reasons.append("there are too few rounds to measure twice")
    elif share < RETEST_LIMIT:
        reasons.append(
            f"{share:.0%} of the programs repeat within {WITHIN:.0%} (limit {RETEST_LIMIT:.0%})"
        )
    return MeasurementNoise(twins, share, len(away), tuple(reasons))


def ceiling(
    latency_ms: np.ndarray, away: np.ndarray, seed: int = 0, draws: int = 20
) -> Ceiling | None:
    """The scores of a perfect model, from the differences `away` between twins.

    The error of one measurement is drawn from the twins' own, |log ratio| / sqrt(2) with a
    random sign, so heavy tails stay. None without twins or with fewer than two programs.
    """
    if not len(away) or len(latency_ms) < 2:
        return None
    random = np.random.default_rng(seed)
    shape = (draws, len(latency_ms))
    errors = random.choice(away, shape) * random.choice([-1.0, 1.0], shape) / math.sqrt(2)
    # Measured = true * exp(error); the model says `true`.
    off = np.abs(np.exp(-errors) - 1)
    ranks = [_spearman(latency_ms, latency_ms * np.exp(e)) for e in errors]
    return Ceiling(
        float(np.mean(ranks)), float(np.mean(off <= 0.05)), float(np.mean(off <= 0.10))
    )  # fmt: skip


def relative_error(summary: Summary) -> float:
    """Median over programs of the median's standard error, as a share of it."""
    error = 1.2533 * summary.spread_ms / np.sqrt(np.maximum(summary.samples, 1))
    return float(np.median(error / summary.latency_ms))


def _median(m: np.ndarray, axis: int) -> np.ndarray:
    """nanmedian that keeps still about slices without a value: they are NaN."""
    masked = np.ma.masked_invalid(m)
    return np.ma.median(masked, axis=axis).filled(np.nan)


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(x, kind="stable"), kind="stable") for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])
