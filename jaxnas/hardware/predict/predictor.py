"""A fitted model: the milliseconds of every network of a space, with an interval."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import cell_features
from jaxnas.spaces import genome

LATENCY = "latency_ms"
LEVEL = 0.9  # of intervals
FINEST = 1e-6  # of the median: predictions are rounded to it
NEAR = 0.2  # of the median: below, intervals are as wide as there (see `regression.FLOOR`)


def unit(quantity: str) -> str:
    """ "ms" of latency, the quantity's own name of all others."""
    return "ms" if quantity == LATENCY else quantity


class Predictor(NamedTuple):
    """Predicts the milliseconds of every network of `space` on `device`.

    One of three forms. Small spaces of cells: `table`, all networks. Chains: `costs` of each
    layer and `pairs` of neighbours. Other spaces of cells: `weights` of their features.
    """

    space: Space
    device: str
    networks: int  # measured
    least_ms: float
    median_ms: float
    errors: np.ndarray  # f64[networks], relative, sorted: each network predicted from the others
    constant: float
    table: np.ndarray | None = None  # f64[candidates of position 0, of position 1, ...]
    costs: np.ndarray | None = None  # f64[positions, candidates]
    pairs: np.ndarray | None = None  # f64[positions - 1, candidates, candidates]
    weights: Mapping[str, np.ndarray] | None = None
    ways: cell_features.Ways = {}  # of the longest paths among the features
    quantity: str = LATENCY  # what it predicts: of another one, read its unit for milliseconds

    def predict(self, networks: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, ...]:
        """(milliseconds, low, high), f64[N] each, of networks i[N, positions].

        Between low and high lies a measurement with probability `level`, as far as networks left
        out tell (jackknife). Raises ValueError for networks of another space.
        """
        networks = genome.check(self.space, networks)
        ms, exact = milliseconds(self, networks), unrounded_ms(self, networks)
        away = margin(self, level) * np.maximum(exact, NEAR * self.median_ms)
        low, high = np.minimum(exact - away, ms), np.maximum(exact + away, ms)
        return ms, np.maximum(low, 0.0), high


def milliseconds(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """f64[N] of networks that are known to be the space's.

    Rounded to a millionth of the median: what is nearer than that is equal, and ranks as equal.
    """
    step = FINEST * model.median_ms
    return np.maximum(np.round(unrounded_ms(model, networks) / step) * step, model.least_ms)


def unrounded_ms(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """The same, not rounded."""
    if model.table is not None and (networks >= 0).all():
        return model.table[tuple(networks.T)]
    return np.maximum(linear_ms(model, networks), model.least_ms)


def margin(model: Predictor, level: float = LEVEL) -> float:
    """Half the width of an interval, relative. Raises ValueError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"The level of an interval is {level}: give it above 0 and below 1.")
    rank = math.ceil(level * (len(model.errors) + 1))
    return float(model.errors[min(rank, len(model.errors)) - 1])


def chain_ms(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """f64[N], before the least that is possible; a layer that is not there (-1) costs nothing."""
    there = networks >= 0
    each = model.costs[np.arange(networks.shape[1]), networks] * there
    total = model.constant + each.sum(1)
    if model.pairs is not None:
        line = networks[:, genome.chain_order(model.space)]
        left, right = line[:, :-1], line[:, 1:]
        both = (left >= 0) & (right >= 0)
        at = np.arange(left.shape[1])
        total = total + (model.pairs[at, left, right] * both).sum(1)
    return total


def linear_ms(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """f64[N], before growth and the least that is possible are seen to."""
    if model.costs is not None:
        return chain_ms(model, networks)
    groups = cell_features.features(model.space, networks, ways=model.ways)
    return model.constant + sum(groups[name] @ w for name, w in model.weights.items())
