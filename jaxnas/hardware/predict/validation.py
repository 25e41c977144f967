"""Measurements from which a model can be fitted, or one line that says why not."""

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict.predictor import LATENCY, unit
from jaxnas.spaces import genome

# Two measurements of one network that are further apart than DISAGREE are not of one device. Those
# within ALIKE are: steady devices repeat so. Between, a table's other repeats tell: noise is within
# SEVERAL times their median (four standard deviations of a normal one), if that is below NOISIEST.
# Phones of 13 % noise differ by 12 % in the median; a table whose repeats differ by more has two
# devices in it throughout, and excuses nothing.
ALIKE, DISAGREE, SEVERAL, NOISIEST = 1.1, 1.5, 6, 1.15  # times
# Two units are three decades apart. Half of that without a network in between is no space's: what
# costs next to nothing, cells that pass nothing on, is 3 % of NAS-Bench-201, less than FEWEST.
APART, FEWEST = 30, 0.1  # times; of the networks, on each side
ABSURD_MS = 1e-4, 1e6  # medians outside are no milliseconds of a network


class FitError(ValueError):
    """Measurements from which nothing can be fitted: the message is one line."""


def validated(
    space: Space, networks: np.ndarray, latency_ms: np.ndarray, quantity: str = LATENCY
) -> tuple[np.ndarray, np.ndarray]:
    """Different networks and their times; one measured several times gets the median.

    Or values of another `quantity`. Raises as `fit` does.
    """
    what, of = "times" if quantity == LATENCY else "values", unit(quantity)
    networks, ms = genome.check(space, networks), np.asarray(latency_ms, float)
    if ms.shape != networks.shape[:1]:
        raise FitError(f"There are {len(networks)} networks and times of the shape {ms.shape}.")
    networks, ms = networks[~np.isnan(ms)], ms[~np.isnan(ms)]
    wrong = ~np.isfinite(ms) | (ms <= 0)
    if wrong.any():
        raise FitError(
            f"{wrong.sum()} of {len(ms)} {what} are zero, negative or infinite (the first: "
            f"{ms[wrong][0]:g} {of}): measure those networks again, or leave them out."
        )
    different, place = np.unique(networks, axis=0, return_inverse=True)
    if len(different) < 2:
        raise FitError(
            f"{len(different) or 'No'} network was measured: two different ones are the least, "
            "60 to 100 are advised."
        )
    low, high = _ends(place.ravel(), ms)
    if (high > DISAGREE * low).any():
        _check_times(space, different, low, high, int(np.argmax(high / low)), of)
    if quantity == LATENCY:
        _check_one_unit(np.sqrt(low * high))
    median = float(np.median(ms))
    if quantity == LATENCY and not ABSURD_MS[0] <= median <= ABSURD_MS[1]:
        raise FitError(
            f"The median of the times is {median:.3g} ms, which no network takes: give "
            "milliseconds."
        )
    order = np.argsort(place.ravel(), kind="stable")
    groups = np.split(ms[order], np.cumsum(np.bincount(place.ravel()))[:-1])
    return different, np.array([np.median(group) for group in groups])


def check_repeats(
    space: Space, networks: np.ndarray, ms: np.ndarray, quantity: str = LATENCY
) -> None:
    """Raises FitError where rows of one network of a table from elsewhere disagree.

    What we measured ourselves is noise at the worst, and is told as such.
    """
    different, place = np.unique(networks, axis=0, return_inverse=True)
    low, high = _ends(place.ravel(), ms)
    apart = (high / low)[np.bincount(place.ravel()) > 1]
    if not len(apart):
        return
    usual = float(np.median(np.delete(apart, np.argmax(apart)))) if len(apart) > 1 else 1.0
    excused = usual**SEVERAL if usual <= NOISIEST else 1.0
    if apart.max() > min(max(ALIKE, excused), DISAGREE):
        _check_times(space, different, low, high, int(np.argmax(high / low)), unit(quantity))


def _ends(place: np.ndarray, ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(least, most) of what was measured at each place."""
    low, high = (np.full(place.max() + 1, start) for start in (np.inf, 0.0))
    np.minimum.at(low, place, ms)
    np.maximum.at(high, place, ms)
    return low, high


def _check_times(
    space: Space, networks: np.ndarray, low: np.ndarray, high: np.ndarray, worst: int, of: str
) -> None:
    names = (
        "-" if code < 0 else position.candidates[code]
        for code, position in zip(networks[worst], genome.positions(space), strict=True)
    )
    raise FitError(
        f"The network {' '.join(names)} has {low[worst]:.4g} {of} and {high[worst]:.4g} {of} in "
        "one table: keep the rows of one device and one unit, or measure it again."
    )


def _check_one_unit(ms: np.ndarray) -> None:
    """Raises FitError where times are of two sizes, as of milliseconds among microseconds."""
    ms = np.sort(ms)
    least = max(2, int(np.ceil(FEWEST * len(ms))))
    below = np.arange(least, len(ms) - least + 1)  # how many networks are on the shorter side
    if not len(below):
        return
    at = below[np.argmax(ms[below] / ms[below - 1])]
    if ms[at] > APART * ms[at - 1]:
        raise FitError(
            f"{at} networks take {ms[0]:.3g} to {ms[at - 1]:.3g} ms, {len(ms) - at} others "
            f"{ms[at]:.3g} to {ms[-1]:.3g} ms, and none is between: give all times in one unit, of "
            "one device."
        )
