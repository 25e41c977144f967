"""The layers of all networks of a space, from those of a few networks."""

from typing import NamedTuple

import numpy as np

from jaxnas.core.types import NONE
from jaxnas.hardware.accelerator import cost, layer
from jaxnas.hardware.accelerator.cost import Array, Cost
from jaxnas.hardware.accelerator.layer import LoopNest
from jaxnas.spaces import genome
from jaxnas.spaces.search_space import NetworkSize, SearchSpace


class LayerCounts(NamedTuple):
    """How often each network has each of the layers that occur in a space."""

    layers: tuple[LoopNest, ...]
    fixed: np.ndarray  # i64[layers], of every network
    added: np.ndarray  # i64[positions, candidates, layers]

    def of_genomes(self, rows: np.ndarray) -> np.ndarray:
        """i64[N, layers] of i[N, positions]; dead edges count unless they are canonical."""
        positions = np.arange(rows.shape[1])
        return self.fixed + self.added[positions, np.asarray(rows)].sum(1)


def layer_counts(space: SearchSpace, size: NetworkSize) -> LayerCounts:
    """By tracing networks that differ from one in one position: as many as there are candidates.

    Where all positions are identical, as in NAS-Bench-201, only those of the first are traced.
    Raises ValueError for a space whose positions are not chosen independently.
    """
    if not space.distribution.factorised:
        raise ValueError(f"The layers of {space.noun} do not add up over positions.")
    positions = space.genome.positions
    base = np.array([p.candidates.index(NONE) if NONE in p.candidates else 0 for p in positions])
    counts: dict[LoopNest, int] = {}
    traced = {(): _trace(space, base, size)}
    choices = space.genome.space
    identical = not genome.is_chain(choices) and len(choices) == 1 and space.digest is None
    for p, position in enumerate(positions[:1] if identical else positions):
        for o in range(len(position.candidates)):
            if o != base[p]:
                row = base.copy()
                row[p] = o
                traced[p, o] = _trace(space, row, size)
    for layers in traced.values():
        for one in layers:
            counts.setdefault(one, len(counts))
    count = lambda layers: np.bincount([counts[one] for one in layers], minlength=len(counts))
    fixed = count(traced.pop(()))
    added = np.zeros((len(positions), max(space.genome.cardinalities), len(counts)), np.int64)
    for (p, o), layers in traced.items():
        added[slice(None) if identical else p, o] = count(layers) - fixed
    return LayerCounts(tuple(counts), fixed, added)


def network_costs(counts: LayerCounts, rows: np.ndarray, array: Array) -> np.ndarray:
    """f64[N, 2]: milliseconds and millijoules of networks i[N, positions], layer after layer."""
    of_layers = np.array([cost.of_layer(one, array) for one in counts.layers])
    return counts.of_genomes(rows) @ of_layers


def of_network(layers: list[LoopNest], array: Array) -> Cost:
    """The cost of a network's layers, one after another."""
    return Cost(*np.sum([cost.of_layer(one, array) for one in layers], 0).tolist())


def _trace(space: SearchSpace, row: np.ndarray, size: NetworkSize) -> list[LoopNest]:
    net = space.network(
        space.genome.decode(row), features=size.features, cells=size.cells, classes=size.classes,
        reductions=None, auxiliary=False,
    )  # fmt: skip
    return layer.of_network(net, size.image)
