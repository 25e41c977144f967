"""Two modes of a device: times in two groups, between which no network lies.

An operation that an accelerator does not know runs on its host, and all copies with it: networks
that hold it are several times slower than any other. A mean between the modes predicts a time that
no network takes.
"""

import math
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

MIN_GAP = 1.5  # times: from the slowest network of the fast mode to the fastest of the slow one
GAP_MULTIPLE = 3.0  # of every other gap between neighbours, as log ratios
MIN_SHARE, MIN_NETWORKS = 0.1, 3  # on each side
LEAST_RATIO = 1e-3  # of a prediction to its time: none is further off
Array = Any  # of numpy or of jax.numpy


class Modes(NamedTuple):
    """Milliseconds between which all measured networks of each mode lie."""

    fast_ms: tuple[float, float]
    slow_ms: tuple[float, float]


def find(ms: np.ndarray) -> Modes | None:
    """The modes of times f[N]; None where they are one group.

    The widest gap must be 1.5 times, three times as wide as every other gap (as log ratios; a
    single extreme network makes none), with a tenth of the networks, three at least, on each side.
    """
    ms = np.sort(np.asarray(ms, float))
    min_side = max(MIN_NETWORKS, math.ceil(MIN_SHARE * len(ms)))
    gaps = np.diff(np.log(ms))
    inner = gaps[min_side - 1 : len(gaps) - min_side + 1]
    if not len(inner):
        return None
    last = min_side - 1 + int(np.argmax(inner))  # of the fast mode
    others = np.delete(gaps, last)[1:-1]
    if gaps[last] < max(math.log(MIN_GAP), GAP_MULTIPLE * others.max()):
        return None
    fast, slow = ms[: last + 1].tolist(), ms[last + 1 :].tolist()
    return Modes((fast[0], fast[-1]), (slow[0], slow[-1]))


def move(modes: Modes | None, ms: Array, xp: ModuleType = np) -> Array:
    """Times f[N], those in the gap moved to the end of the nearer mode, by ratio."""
    if modes is None:
        return ms
    below, above = modes.fast_ms[1], modes.slow_ms[0]
    nearer = xp.where(ms < math.sqrt(below * above), below, above)
    return xp.where((ms > below) & (ms < above), nearer, ms)


def helpful(ms: np.ndarray, left_out: np.ndarray) -> Modes | None:
    """The modes of times f[N], if moving the leave-one-out predictions f[N] brings them nearer.

    Each network is judged with the modes that all others have; None where there are none.
    """
    modes = find(ms)
    if modes is None:
        return None
    moved = move(modes, left_out)
    for i in np.flatnonzero((ms == modes.fast_ms[1]) | (ms == modes.slow_ms[0])):
        moved[i] = move(find(np.delete(ms, i)), left_out[i])  # the gap is wider without it
    distance = lambda predicted: np.abs(np.log(np.maximum(predicted / ms, LEAST_RATIO))).sum()
    return modes if distance(moved) < distance(left_out) else None


def text(modes: Modes, unit: str = "ms") -> str:
    """The modes in words: one line."""
    spans = (f"{low:.3g} to {high:.3g} {unit}" for low, high in modes)
    return f"two modes: {' and '.join(spans)}; no network lies between"
