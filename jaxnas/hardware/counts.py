"""Multiply-accumulates and parameters of all networks of a space, from exact counts of a few."""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from jaxnas.core.types import NONE
from jaxnas.nets import count
from jaxnas.spaces import dataflow, genome, sampling
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

QUANTITIES = ("macs", "parameters")
CHECKS = 3  # networks counted beyond those that determine all


class Additive(NamedTuple):
    """`fixed` + what each candidate adds at each position."""

    fixed: float
    each: np.ndarray  # f64[positions, candidates]

    def of(self, rows: np.ndarray) -> np.ndarray:
        """f64[N], whole, of i[N, positions] networks, dead edges counted as they stand."""
        added = self.each[np.arange(rows.shape[1]), rows]
        return np.rint(self.fixed + np.where(rows >= 0, added, 0.0).sum(1))


def counted(space: SearchSpace, size: NetworkSize) -> dict[str, Additive]:
    """Both quantities, by counting networks that differ in one place from a first one.

    The first has `none` everywhere, or the first candidates of a chain. Where all positions are
    alike, as in NAS-Bench-201, one of them is counted. In spaces whose networks have not all edges
    the counts of as many networks as there are unknowns are solved for what each candidate adds.
    Raises ValueError where counts do not add up.
    """
    if not space.distribution.factorised:
        return _solved(space, size)
    choices, positions = space.genome.space, space.genome.positions
    most = max(space.genome.cardinalities)
    base = np.array([p.candidates.index(NONE) if NONE in p.candidates else 0 for p in positions])
    first = exact(space, space.genome.decode(base), size, dead_edges=True)
    alike = not genome.is_chain(choices) and len(choices) == 1 and space.digest is None
    added = {name: np.zeros((len(positions), most)) for name in QUANTITIES}
    for p, position in enumerate(positions[:1] if alike else positions):
        for o in range(len(position.candidates)):
            if o == base[p]:
                continue
            other = base.copy()
            other[p] = o
            counts = exact(space, space.genome.decode(other), size, dead_edges=True)
            for name in QUANTITIES:
                added[name][p, o] = counts[name] - first[name]
    if alike:
        added = {name: np.repeat(value[:1], len(positions), 0) for name, value in added.items()}
    return {name: Additive(float(first[name]), added[name]) for name in QUANTITIES}


def _solved(space: SearchSpace, size: NetworkSize) -> dict[str, Additive]:
    """Both quantities from networks that together show every candidate in every kind of place.

    An edge of DARTS's cells matters by its cell and by whether it leaves an input, which a reducing
    cell halves; a layer of a path by its place. Raises ValueError where that does not hold.
    """
    choices, positions = space.genome.space, space.genome.positions
    most = max(space.genome.cardinalities)
    made = {name: {t for _, t in choice.edges} for name, choice in choices.items()}
    group: dict[tuple, int] = {}
    columns = np.full((len(positions), most), -1)
    for p, position in enumerate(positions):
        inner = position.edge[0] in made[position.choice]
        place = (position.choice, inner) if space.edges_per_node else (p,)
        for o, op in enumerate(position.candidates):
            columns[p, o] = group.setdefault((*place, op), len(group))
    rows = np.random.default_rng(0).permutation(sampling.representatives(space))
    shown = np.zeros((len(rows), len(group) + 1))
    shown[:, -1] = 1
    for p in range(len(positions)):
        there = np.flatnonzero(rows[:, p] >= 0)
        np.add.at(shown, (there, columns[p, rows[there, p]]), 1)
    _, triangle, order = scipy.linalg.qr(shown.T, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > 1e-9 * abs(triangle[0, 0])).sum())
    seen = order[: rank + CHECKS]
    counts = [exact(space, space.genome.decode(rows[i]), size, dead_edges=True) for i in seen]
    solved = {}
    for name in QUANTITIES:
        truth = np.array([count[name] for count in counts], float)
        added = np.linalg.lstsq(shown[seen[:rank]], truth[:rank], rcond=None)[0]
        if not np.allclose(shown[seen] @ added, truth, rtol=1e-9):
            raise ValueError(f"The {name} of this space do not add up over its edges.")
        each = np.where(columns >= 0, added[columns], 0.0)
        solved[name] = Additive(float(added[-1]), each)
    return solved


def exact(
    space: SearchSpace, genotype: Genotype, size: NetworkSize, *, dead_edges: bool = False
) -> dict[str, int]:
    """What a genotype's network has and does for one image, without its dead edges or with them."""
    net = space.network(
        genotype if dead_edges else dataflow.remove_dead_edges(genotype),
        features=size.features, cells=size.cells, classes=size.classes, reductions=None,
        auxiliary=False,
    )  # fmt: skip
    counts = count.size(net, size.image)
    return {"macs": counts.macs, "parameters": counts.parameters}
