"""Latency never falls when an operation grows: the nearest fitted costs of which that is true."""

from collections.abc import Sequence

import numpy as np

from jaxnas.core.types import Space
from jaxnas.spaces import genome, op_names


def order(names: Sequence[str]) -> np.ndarray:
    """bool[O, O]: whether candidate j is candidate i or outgrows it (`op_names.dominates`)."""
    return op_names.dominates(names) | np.eye(len(names), dtype=bool)


def monotone(values: np.ndarray, orders: Sequence[np.ndarray]) -> np.ndarray:
    """Values that do not fall along the order of any axis.

    Half-way between the largest of all that is outgrown and the smallest of all that outgrows:
    what was monotone stays as it is, and equal networks stay equal.
    """
    up = down = values
    for axis, no_less in enumerate(orders):
        up = _along(up, axis, no_less.T, np.max)
        down = _along(down, axis, no_less, np.min)
    return (up + down) / 2


def _along(values: np.ndarray, axis: int, which: np.ndarray, pick) -> np.ndarray:
    """At each index j of an axis, the `pick` of all i with `which[j, i]`."""
    if (which == np.eye(len(which), dtype=bool)).all():
        return values
    moved = np.moveaxis(values, axis, 0)
    return np.moveaxis(np.stack([pick(moved[row], axis=0) for row in which]), 0, axis)


def chain(
    space: Space, costs: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """(costs, pairs) of a chain after which no layer that grows makes any network faster.

    What a pair of neighbours may take from a difference of costs is half of it each; pairs that
    take more are scaled down. None: there are no pairs.
    """
    costs, scale = costs.copy(), np.ones(len(pairs))
    places, places_of = genome.positions(space), genome.chain_order(space)
    for at, p in enumerate(places_of):
        names = places[p].candidates
        no_less = order(names)
        costs[p, : len(names)] = monotone(costs[p, : len(names)], [no_less])
        for i, j in np.argwhere(no_less & ~np.eye(len(names), dtype=bool)):
            room = (costs[p, j] - costs[p, i]) / 2
            if at > 0:
                taken = -(pairs[at - 1, :, j] - pairs[at - 1, :, i]).min()
                scale[at - 1] = min(scale[at - 1], room / taken if taken > room else 1)
            if at < len(pairs):
                taken = -(pairs[at, j] - pairs[at, i]).min()
                scale[at] = min(scale[at], room / taken if taken > room else 1)
    pairs = pairs * scale[:, None, None]
    return costs, (pairs if np.abs(pairs).max(initial=0) > 0 else None)
