"""Validation of measurements before a fit; errors are one line."""

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict.features import chain_features
from jaxnas.hardware.predict.predictor import LATENCY, unit
from jaxnas.spaces import genome

# Repeats of a network whose ratio exceeds MAX_RATIO are not of one device. Those within
# MAX_REPEAT_RATIO are: steady devices repeat that well. Between, the table's other repeats decide:
# noise stays within their median ratio to the power NOISE_MULTIPLE (four standard deviations, if
# normal), if that median is below MAX_NOISE_RATIO. Phones with 13 % noise differ by 12 % in the
# median; a table whose repeats differ by more mixes two devices throughout.
MAX_REPEAT_RATIO, MAX_RATIO, NOISE_MULTIPLE, MAX_NOISE_RATIO = 1.1, 1.5, 6, 1.15  # times
# Milliseconds and microseconds are three decades apart. No space has half of that as a gap between
# networks with MIN_SHARE of them on each side: nearly free cells, which pass nothing on, are 3 % of
# NAS-Bench-201.
MAX_GAP, MIN_SHARE = 30, 0.1  # times; of the networks, on each side
MEDIAN_RANGE_MS = 1e-4, 1e6  # medians outside are not milliseconds


class FitError(ValueError):
    """Measurements from which nothing can be fitted: the message is one line."""


def validate(
    space: Space, networks: np.ndarray, latency_ms: np.ndarray, quantity: str = LATENCY
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct networks and their times, the median of repeats; or values of another `quantity`.

    Raises as `fit.fit` does.
    """
    noun, unit_name = "times" if quantity == LATENCY else "values", unit(quantity)
    networks, ms = genome.check(space, networks), np.asarray(latency_ms, float)
    if ms.shape != networks.shape[:1]:
        raise FitError(f"There are {len(networks)} networks and times of the shape {ms.shape}.")
    networks, ms = networks[~np.isnan(ms)], ms[~np.isnan(ms)]
    invalid = ~np.isfinite(ms) | (ms <= 0)
    if invalid.any():
        raise FitError(
            f"{invalid.sum()} of {len(ms)} {noun} are zero, negative or infinite (the first: "
            f"{ms[invalid][0]:g} {unit_name}): measure those networks again, or leave them out."
        )
    distinct, network_index = np.unique(networks, axis=0, return_inverse=True)
    if len(distinct) < 2:
        raise FitError(
            f"{len(distinct) or 'No'} network was measured: two different ones are the least, "
            "60 to 100 are advised."
        )
    low, high = _ranges(network_index.ravel(), ms)
    if (high > MAX_RATIO * low).any():
        _raise_disagreement(space, distinct, low, high, int(np.argmax(high / low)), unit_name)
    if quantity == LATENCY:
        # A batch of 64 takes as much more than one of 1 as another unit would.
        for part in chain_features.alike(space, distinct):
            check_unit(np.sqrt(low * high)[part])
    return medians(networks, ms)


def medians(networks: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows [N, F], networks say, and the median of each one's values, however they differ.

    For our own campaigns, whose noise is reported: what is fitted to them is not refused for it.
    """
    distinct, network_index = np.unique(networks, axis=0, return_inverse=True)
    order = np.argsort(network_index.ravel(), kind="stable")
    groups = np.split(values[order], np.cumsum(np.bincount(network_index.ravel()))[:-1])
    return distinct, np.array([np.median(group) for group in groups])


def check_repeats(
    space: Space, networks: np.ndarray, ms: np.ndarray, quantity: str = LATENCY
) -> None:
    """Raises FitError where repeats of a network disagree, in a table of unknown origin.

    Our own campaigns are not checked: they report their noise.
    """
    distinct, network_index = np.unique(networks, axis=0, return_inverse=True)
    low, high = _ranges(network_index.ravel(), ms)
    ratios = (high / low)[np.bincount(network_index.ravel()) > 1]
    if not len(ratios):
        return
    typical = float(np.median(np.delete(ratios, np.argmax(ratios)))) if len(ratios) > 1 else 1.0
    tolerated = typical**NOISE_MULTIPLE if typical <= MAX_NOISE_RATIO else 1.0
    if ratios.max() > min(max(MAX_REPEAT_RATIO, tolerated), MAX_RATIO):
        _raise_disagreement(space, distinct, low, high, int(np.argmax(high / low)), unit(quantity))


def _ranges(network_index: np.ndarray, ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(minimum, maximum) of the measurements of each network."""
    low, high = (np.full(network_index.max() + 1, start) for start in (np.inf, 0.0))
    np.minimum.at(low, network_index, ms)
    np.maximum.at(high, network_index, ms)
    return low, high


def _raise_disagreement(
    space: Space, networks: np.ndarray, low: np.ndarray, high: np.ndarray, worst: int, unit_: str
) -> None:
    names = (
        "-" if code < 0 else position.candidates[code]
        for code, position in zip(networks[worst], genome.positions(space), strict=True)
    )
    raise FitError(
        f"The network {' '.join(names)} has {low[worst]:.4g} {unit_} and {high[worst]:.4g} "
        f"{unit_} in one table: keep the rows of one device and one unit, or measure it again."
    )


def check_work(work: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The work of a chain of [positions, candidates] as floats. Raises FitError for another."""
    work = np.asarray(work, float)
    if work.ndim != 3 or work.shape[:2] != shape or not np.isfinite(work).all():
        raise FitError(
            f"Work has the shape {work.shape}: give finite numbers of [{shape[0]} positions, "
            f"{shape[1]} candidates, quantities]."
        )
    return work


def check_unit(ms: np.ndarray) -> None:
    """Raises FitError for times of two units, and for those that are implausible as ms."""
    _check_one_unit(ms)
    median = float(np.median(ms))
    if not MEDIAN_RANGE_MS[0] <= median <= MEDIAN_RANGE_MS[1]:
        raise FitError(
            f"The median of the times is {median:.3g} ms, which no network takes: give "
            "milliseconds."
        )


def _check_one_unit(ms: np.ndarray) -> None:
    """Raises FitError where times form two groups, as of milliseconds and microseconds."""
    ms = np.sort(ms)
    min_side = max(2, int(np.ceil(MIN_SHARE * len(ms))))
    below = np.arange(min_side, len(ms) - min_side + 1)  # numbers of networks on the faster side
    if not len(below):
        return
    split = below[np.argmax(ms[below] / ms[below - 1])]
    if ms[split] > MAX_GAP * ms[split - 1]:
        raise FitError(
            f"{split} networks take {ms[0]:.3g} to {ms[split - 1]:.3g} ms, {len(ms) - split} "
            f"others {ms[split]:.3g} to {ms[-1]:.3g} ms, and none is between: give all times in "
            "one unit, of one device."
        )
