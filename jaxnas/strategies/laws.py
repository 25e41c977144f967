"""How the networks of a space are drawn from the gates of its search."""

from collections.abc import Callable

import numpy as np

from jaxnas.hardware.measure import design
from jaxnas.spaces import distribution, registry
from jaxnas.spaces.darts import distribution as darts_distribution
from jaxnas.spaces.hypercuboid import distribution as hypercuboid_distribution
from jaxnas.strategies import codes

SOME = 8000  # networks that stand for a space too large to look through
STARTS = 4  # of a descent


def of(entry: registry.Entry) -> distribution.ArchDistribution:
    """The law of a space: paths through the hypercuboid, DARTS's cells, all others."""
    if entry.searched is not None:
        return hypercuboid_distribution.steps(entry.searched, registry.WIDTHS)
    return darts_distribution.pairs(entry.space) if entry.pairs else distribution.edges(entry.space)


def by_edges(entry: registry.Entry) -> bool:
    """Whether every edge is drawn by itself and stays: then a network is its draws."""
    return entry.searched is None and not entry.pairs


def some(entry: registry.Entry, seed: int = 0) -> np.ndarray:
    """i[N, positions]: the corners of a space (`design.anchors`) and random networks."""
    corners = [codes.of_genotype(entry.space, g) for g in design.anchors(entry.space, entry.select)]
    law = of(entry)
    networks = law.network(_random(law, seed), np)
    return np.unique(np.concatenate([np.array(corners), networks]), axis=0)


def bettered(entry: registry.Entry, cost: Callable[[np.ndarray], np.ndarray]) -> float:
    """The least of `cost`, f64[N] of i[N, positions], that descent from the best of many finds.

    A draw at a time is changed, and with it, where that opens another edge, what it holds.
    """
    law = of(entry)
    drawn = _random(law, 0)
    costs = cost(law.network(drawn, np))
    best, lowest = drawn[np.argsort(costs)[:STARTS]], float(costs.min())
    for _ in range(len(law.sizes)):
        moves = np.concatenate([_neighbours(law, each, best) for each in best])
        costs = cost(law.network(moves, np))
        found = moves[np.argsort(costs)[:STARTS]]
        if costs.min() >= lowest - 1e-12:
            break
        best, lowest = found, float(costs.min())
    return min(lowest, float(cost(some(entry)).min()))


def _random(law: distribution.ArchDistribution, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.stack([random.integers(0, size, SOME) for size in law.sizes], 1)


def _neighbours(
    law: distribution.ArchDistribution, one: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """i[moves, D]: every outcome of every draw, what has no say taken from each of the others."""
    idle = ~law.told(one[None])[0]
    starts = [np.where(idle, other, one) for other in others]
    rows = []
    for start in starts:
        for d, size in enumerate(law.sizes):
            moved = np.repeat(start[None], size, 0)
            moved[:, d] = np.arange(size)
            rows.append(moved)
    return np.concatenate(rows)
