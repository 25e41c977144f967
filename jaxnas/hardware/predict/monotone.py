"""Monotone predictions: a dominating operation (larger kernel, ...) never lowers latency."""

from collections.abc import Sequence

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.predict.features import chain_features
from jaxnas.hardware.predict.features.chain_features import Factor
from jaxnas.spaces import genome, op_names


def dominance_order(names: Sequence[str]) -> np.ndarray:
    """bool[O, O]: whether candidate j equals candidate i or dominates it (`op_names.dominates`)."""
    return op_names.dominates(names) | np.eye(len(names), dtype=bool)


def monotone(values: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
    """Values made non-decreasing in the dominance order of every axis.

    The mean of the maximum over dominated entries and the minimum over dominating ones: monotone
    values stay as they are, and equal networks stay equal.
    """
    up = down = values
    for axis, dominance in enumerate(orders):
        up = _reduce_along(up, axis, dominance.T, np.max)
        down = _reduce_along(down, axis, dominance, np.min)
    return (up + down) / 2


def _reduce_along(values: np.ndarray, axis: int, mask: np.ndarray, reduce) -> np.ndarray:
    """At each index j of an axis, `reduce` over all i with `mask[j, i]`."""
    if (mask == np.eye(len(mask), dtype=bool)).all():
        return values
    first_axis = np.moveaxis(values, axis, 0)
    return np.moveaxis(np.stack([reduce(first_axis[row], axis=0) for row in mask]), 0, axis)


def monotone_chain(
    space: Space, costs: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """(costs, pairs) of a chain, such that a dominating candidate makes no network faster.

    Each of a layer's two pairs may reduce a difference of costs by half of it; pairs that reduce
    more are scaled down. None: there are no pairs.
    """
    costs, scale = costs.copy(), np.ones(len(pairs))
    positions, order = genome.positions(space), genome.chain_order(space)
    for layer, p in enumerate(order):
        names = positions[p].candidates
        dominance = dominance_order(names)
        costs[p, : len(names)] = monotone(costs[p, : len(names)], [dominance])
        for i, j in np.argwhere(dominance & ~np.eye(len(names), dtype=bool)):
            allowance = (costs[p, j] - costs[p, i]) / 2
            if layer > 0:
                decrease = -(pairs[layer - 1, :, j] - pairs[layer - 1, :, i]).min()
                scale[layer - 1] = min(
                    scale[layer - 1], allowance / decrease if decrease > allowance else 1
                )
            if layer < len(pairs):
                decrease = -(pairs[layer, j] - pairs[layer, i]).min()
                scale[layer] = min(
                    scale[layer], allowance / decrease if decrease > allowance else 1
                )
    pairs = pairs * scale[:, None, None]
    return costs, (pairs if np.abs(pairs).max(initial=0) > 0 else None)


def monotone_factors(
    space: Space, costs: np.ndarray, pairs: np.ndarray, factors: Sequence[Factor]
) -> tuple[np.ndarray, np.ndarray | None, tuple[Factor, ...]]:
    """(costs, pairs, factors) as `monotone_chain`, of a chain with settings that multiply layers.

    The costs that are multiplied are ordered themselves; with them `costs` are, where settings are
    smallest. Settings are ordered for layers that cost as much as in the mean, by each alone.
    """
    if not factors:
        return *monotone_chain(space, costs, pairs), ()
    positions, apart = genome.positions(space), tuple(chain_features.settings(space))
    sizes, ordered, added = genome.cardinalities(space), [], np.zeros(costs.shape)
    for values, of_layers in factors:
        of_layers, layers_ms = of_layers.copy(), 0.0
        for p, size in enumerate(sizes):
            if p not in apart:
                order = dominance_order(positions[p].candidates)
                of_layers[p, :size] = monotone(of_layers[p, :size], [order])
                layers_ms += of_layers[p, :size].mean()
        ordered.append(Factor(values, of_layers))
        added += values.min(1).prod() * of_layers
        for p in apart:
            added[p] += values[p] * layers_ms
    costs, pairs = monotone_chain(space, costs + added, pairs)
    return costs - added, pairs, tuple(ordered)
