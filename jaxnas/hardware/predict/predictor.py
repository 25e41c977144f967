"""A fitted predictor: the latency of every network of a space, with an interval."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict import two_modes
from jaxnas.hardware.predict.features import cell_features, chain_features
from jaxnas.spaces import genome

LATENCY = "latency_ms"
LEVEL = 0.9  # of intervals
RESOLUTION = 1e-6  # of the median: predictions are rounded to it
MIN_SCALE = 0.2  # of the median: minimum scale of relative intervals (see `regression.FLOOR`)


def unit(quantity: str) -> str:
    """The unit of a quantity: "ms" for latency, else the quantity's name."""
    return "ms" if quantity == LATENCY else quantity


class Predictor(NamedTuple):
    """Predicts the milliseconds of every network of `space` on `device`.

    One of three forms. Enumerable cell spaces: `table` of all networks. Chains: `costs` of each
    layer, `pairs` of neighbours, and `factors` of settings of the whole network (resolution, batch)
    times layers. Other cell spaces: `weights` of features.
    """

    space: Space
    device: str
    networks: int  # measured ones
    least_ms: float
    median_ms: float
    errors: np.ndarray  # f64[networks], relative leave-one-out errors, sorted
    constant: float
    table: np.ndarray | None = None  # f64[candidates of position 0, of position 1, ...]
    costs: np.ndarray | None = None  # f64[positions, candidates]
    pairs: np.ndarray | None = None  # f64[positions - 1, candidates, candidates]
    factors: tuple[chain_features.Factor, ...] = ()
    weights: Mapping[str, np.ndarray] | None = None
    ways: cell_features.PathDurations = {}  # durations of the critical-path features
    absolute_ms: float = 0.0  # where a relative error becomes an absolute one: see `error_scale`
    dead_shares: cell_features.DeadShares = {}  # executed shares of dead branches, of groups
    modes: two_modes.Modes | None = None  # of cells: predictions between them are moved
    quantity: str = LATENCY  # what is predicted; of another one, "ms" stands for its unit

    def predict(self, networks: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, ...]:
        """(milliseconds, low, high), f64[N] each, of networks i[N, positions].

        A measurement lies between low and high with probability `level`, estimated from
        leave-one-out errors (jackknife). Raises ValueError for networks of another space.
        """
        networks = genome.check(self.space, networks)
        ms, exact = milliseconds(self, networks), unrounded_ms(self, networks)
        away = margin(self, level) * error_scale(exact, self.median_ms, self.absolute_ms)
        low, high = np.minimum(exact - away, ms), np.maximum(exact + away, ms)
        return ms, np.maximum(low, 0.0), high


def error_scale(ms: np.ndarray, median_ms: float, absolute_ms: float) -> np.ndarray:
    """f64[N]: the scale of errors of predictions f[N], at least a fifth of the median.

    `absolute_ms` is the ratio of absolute and relative noise, a / s: errors grow with the
    prediction above it, and are the same below.
    """
    return np.hypot(np.maximum(ms, MIN_SCALE * median_ms), absolute_ms)


def milliseconds(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """f64[N] milliseconds of networks i[N, positions], which must be of the space.

    Rounded to a millionth of the median, so that equal networks rank as equal.
    """
    step = RESOLUTION * model.median_ms
    return np.maximum(np.round(unrounded_ms(model, networks) / step) * step, model.least_ms)


def unrounded_ms(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """f64[N] milliseconds as in `milliseconds`, not rounded."""
    if model.table is not None and (networks >= 0).all():
        return model.table[tuple(networks.T)]
    return two_modes.move(model.modes, np.maximum(linear_ms(model, networks), model.least_ms))


def margin(model: Predictor, level: float = LEVEL) -> float:
    """The relative half-width of an interval. Raises ValueError unless 0 < level < 1."""
    if not 0 < level < 1:
        raise ValueError(f"The level of an interval is {level}: give it above 0 and below 1.")
    rank = math.ceil(level * (len(model.errors) + 1))
    return float(model.errors[min(rank, len(model.errors)) - 1])


def chain_ms(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """f64[N] of a chain, without lower bound; an absent layer (-1) costs nothing."""
    present = networks >= 0
    layer_ms = model.costs[np.arange(networks.shape[1]), networks] * present
    total = model.constant + layer_ms.sum(1)
    if model.pairs is not None:
        in_order = networks[:, genome.chain_order(model.space)]
        first, second = in_order[:, :-1], in_order[:, 1:]
        both_present = (first >= 0) & (second >= 0)
        layers = np.arange(first.shape[1])
        total = total + (model.pairs[layers, first, second] * both_present).sum(1)
    for factor in model.factors:
        of_layers = factor.costs[np.arange(networks.shape[1]), networks] * present
        total = total + chain_features.product(factor.values, networks) * of_layers.sum(1)
    return total


def linear_ms(model: Predictor, networks: np.ndarray) -> np.ndarray:
    """f64[N] of the linear model, without monotonicity and lower bound."""
    if model.costs is not None:
        return chain_ms(model, networks)
    groups = cell_features.features(
        model.space, networks, durations=model.ways, dead_shares=model.dead_shares
    )
    return model.constant + sum(groups[name] @ w for name, w in model.weights.items())
