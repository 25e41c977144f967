"""Measurements from which a model can be fitted, or one line that says why not."""

import numpy as np

from jaxnas.latency import layout
from jaxnas.latency.model import LATENCY, unit
from jaxnas.types import Space

DISAGREE = 1.5  # times: above, two measurements of one network are not of one device
ABSURD_MS = 1e-4, 1e6  # medians outside are no milliseconds of a network


class FitError(ValueError):
    """Measurements from which nothing can be fitted: the message is one line."""


def accepted(
    space: Space, networks: np.ndarray, latency_ms: np.ndarray, quantity: str = LATENCY
) -> tuple[np.ndarray, np.ndarray]:
    """Different networks and their times; one measured several times gets the median.

    Or values of another `quantity`. Raises as `fit` does.
    """
    what, of = "times" if quantity == LATENCY else "values", unit(quantity)
    networks, ms = layout.check(space, networks), np.asarray(latency_ms, float)
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
    low, high = (np.full(len(different), start) for start in (np.inf, 0.0))
    np.minimum.at(low, place.ravel(), ms)
    np.maximum.at(high, place.ravel(), ms)
    if (worst := int(np.argmax(high / low))) is not None and high[worst] > DISAGREE * low[worst]:
        raise FitError(
            f"Network {different[worst].tolist()} has {low[worst]:.4g} {of} and "
            f"{high[worst]:.4g} {of} in one table: keep the rows of one device and one unit."
        )
    median = float(np.median(ms))
    if quantity == LATENCY and not ABSURD_MS[0] <= median <= ABSURD_MS[1]:
        raise FitError(
            f"The median of the times is {median:.3g} ms, which no network takes: give "
            "milliseconds."
        )
    order = np.argsort(place.ravel(), kind="stable")
    groups = np.split(ms[order], np.cumsum(np.bincount(place.ravel()))[:-1])
    return different, np.array([np.median(group) for group in groups])
