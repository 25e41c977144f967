"""Statistics of rounds: medians, spread and noise of f64[R, P] milliseconds of P programs.

Every round visits every program once in random order, so a machine that is slow for a while is slow
for all programs: the round's factor removes that. NaN marks a sample that the clock spoilt.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.hardware import shares

AGREEMENT = 0.05  # relative: two medians that differ by less agree
MAX_TWIN_DIFFERENCE, MIN_RETEST = 0.02, 0.95  # a device beyond these is noisy
LEAST_SPREAD = 0.002  # relative, of a round's samples: below, rounds are equally calm
LEAST_GAIN = 0.15  # relative, of the medians' standard error by leaving wild rounds out
MIN_PAIRS = 5  # of twins, that tell a ceiling
RETEST, TWINS = "retest", "twins"  # sources of a ceiling
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
    within5_interval: tuple[float, float]  # 90 %, of a share estimated from `count` differences
    source: str  # RETEST or TWINS
    count: int  # of programs measured twice, or of pairs


def summarise(rounds_ms: np.ndarray) -> RoundSummary:
    """Medians over rounds, normalised by the rounds' factors.

    A round's factor is the median over programs of its samples relative to the programs' medians.
    (The protocol divides by the round's median; among programs of unlike size that is the time of
    a single program.) Wild rounds (`calm`) are left out, slow ones are not; then samples further
    than 3 MAD from their median. Raises ValueError where a program has no sample.
    """
    return of_rounds(rounds_ms, calm(rounds_ms))


def of_rounds(rounds_ms: np.ndarray, used: np.ndarray) -> RoundSummary:
    """As `summarise`, with the rounds bool[R] that count given."""
    m = _checked(rounds_ms)
    slowness = factors(m)
    used = used & np.isfinite(slowness)
    # A program sampled only in rounds that do not count keeps all rounds in.
    if not np.isfinite(m[used]).any(0).all():
        used = np.isfinite(slowness)
    slowness = slowness / np.median(slowness[used])
    normalised = m[used] / slowness[used, None]
    median = _median(normalised, 0)
    deviation = np.abs(normalised - median)
    mad = _median(deviation, 0)
    inliers = normalised.copy()
    inliers[(deviation > OUTLIER_MADS * mad) & (mad > 0)] = np.nan
    samples = np.isfinite(inliers).sum(0)
    return RoundSummary(
        _median(inliers, 0), 1.4826 * mad, np.nanmin(m, 0), samples, slowness, used
    )  # fmt: skip


def factors(rounds_ms: np.ndarray) -> np.ndarray:
    """f64[R]: the relative slowness of each round; infinite without samples."""
    slowness = np.ones(len(rounds_ms))
    for _ in range(2):  # a second time with medians of normalised rounds
        typical = _median(rounds_ms / slowness[:, None], 0)
        slowness = _median(rounds_ms / typical, 1)
        slowness[np.isnan(slowness)] = np.inf
    return slowness


def calm(rounds_ms: np.ndarray) -> np.ndarray:
    """bool[R]: whether a round's samples, divided by its factor, agree with the other rounds'.

    The calmest rounds, as many as make the medians surest: the standard error of a median of
    samples with spreads s is proportional to sqrt(n) / sum(1 / s), so that a round is left out
    whose spread is above twice the others' (harmonic mean). How slow a round is does not matter.
    """
    m = _checked(rounds_ms)
    slowness = factors(m)
    normalised = m / slowness[:, None]
    typical = _median(normalised, 0)
    spread = _median(np.abs(normalised / typical - 1), 1)
    # Rows of an interrupted round have few programs, too few to judge.
    judged = 2 * np.isfinite(m).sum(1) >= m.shape[1]
    spreads = np.sort(np.maximum(spread[judged], LEAST_SPREAD))
    used = np.isfinite(slowness)
    if not len(spreads):
        return used
    error = np.sqrt(np.arange(1, len(spreads) + 1)) / np.cumsum(1 / spreads)
    if error.min() > (1 - LEAST_GAIN) * error[-1]:
        return used
    limit = spreads[np.argmin(error)]
    return used & (~judged | (np.maximum(spread, LEAST_SPREAD) <= limit))


def _checked(rounds_ms: np.ndarray) -> np.ndarray:
    m = np.asarray(rounds_ms, float)
    if m.ndim != 2 or not m.size:
        raise ValueError(f"Rounds are a matrix [round, program], not of shape {m.shape}.")
    valid = np.isfinite(m).any(0)
    if not valid.all():
        raise ValueError(
            f"Program {int(np.flatnonzero(~valid)[0])} has no valid sample: measure again."
        )
    return m


def retest(rounds_ms: np.ndarray) -> float | None:
    """Share of programs whose medians over the two halves of the rounds agree within 5 %.

    After one global scale. None as in `repeat_differences`.
    """
    logs = repeat_differences(rounds_ms)
    return None if logs is None else float(np.mean(np.abs(np.expm1(logs)) <= AGREEMENT))


def repeat_differences(rounds_ms: np.ndarray) -> np.ndarray | None:
    """f64[P]: log ratio of the medians over the two halves of the rounds, after one global scale.

    None for fewer than four rounds, and where a half lacks a program.
    """
    half = len(rounds_ms) // 2
    parts = rounds_ms[:half], rounds_ms[half:]
    if half < 2 or not all(np.isfinite(part).any(0).all() for part in parts):
        return None
    first, second = (summarise(part).latency_ms for part in parts)
    return np.log(second / first / np.median(second / first))


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
    latency_ms: np.ndarray,
    rounds_ms: np.ndarray,
    pairs: Sequence[tuple[int, int]],
    seed: int = 0,
    draws: int = 20,
) -> Ceiling | None:
    """What a perfect predictor of f64[N] milliseconds would score, by simulating their errors.

    Errors are drawn, with a random sign, from what measurements of the same program differ by, so
    that heavy tails are kept: from the retest's |log ratio| / 2 (the medians of all rounds are
    surer than those of a half), and, where there are five pairs, from the twins' |log ratio| /
    sqrt(2), if they allow less. Few pairs serve only where the rounds have no halves. None
    without either, or for fewer than two networks.
    """
    if len(latency_ms) < 2:
        return None
    halves = repeat_differences(rounds_ms)
    twins = differences(summarise(rounds_ms).latency_ms, pairs)
    found = []
    if halves is not None:
        found.append(ceiling_of(latency_ms, np.abs(halves) / 2, RETEST, seed, draws))
    if len(twins) >= MIN_PAIRS or (len(twins) and halves is None):
        found.append(ceiling_of(latency_ms, twins / math.sqrt(2), TWINS, seed, draws))
    return min(found, key=lambda ceiling: (ceiling.within5, ceiling.spearman), default=None)


def ceiling_of(
    latency_ms: np.ndarray, errors: np.ndarray, source: str, seed: int = 0, draws: int = 20
) -> Ceiling:
    """The ceiling of measurements whose absolute log errors are like f64[count] `errors`."""
    random = np.random.default_rng(seed)
    shape = (draws, len(latency_ms))
    logs = random.choice(errors, shape) * random.choice([-1.0, 1.0], shape)
    # measured = true * exp(error); a perfect predictor gives `true`.
    within5, within10 = (
        float(np.mean([np.abs(np.expm1(sign * errors)) <= limit for sign in (-1, 1)]))
        for limit in (0.05, 0.10)
    )
    ranks = [_spearman(latency_ms, latency_ms * np.exp(e)) for e in logs]
    bounds = shares.interval(within5, len(errors))
    return Ceiling(float(np.mean(ranks)), within5, within10, bounds, source, len(errors))


def ceiling_text(ceiling: Mapping[str, Any]) -> str:
    """The ceiling, as the fields of a `Ceiling` by name, in words."""
    unit_ = "program" if ceiling["source"] == RETEST else "pair"
    return (
        f"a perfect model would score Spearman {ceiling['spearman']:.3f}, "
        f"{ceiling['within5']:.0%} within 5 % (90 % interval "
        f"{shares.percent(ceiling['within5_interval'])}), {ceiling['within10']:.0%} within 10 %, "
        f"by the {ceiling['source']} of {ceiling['count']} {unit_}{'s' * (ceiling['count'] != 1)}"
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
