"""MACs and parameters of all networks of a space, from exact counts of a few networks."""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from jaxnas.core.types import NONE
from jaxnas.nets import count
from jaxnas.spaces import dataflow, genome, sampling
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

QUANTITIES = ("macs", "parameters")
EXTRA_NETWORKS = 3  # networks counted beyond those that determine the unknowns


class AdditiveCounts(NamedTuple):
    """A quantity that adds up: `fixed` + a contribution of each candidate at each position."""

    fixed: float
    contributions: np.ndarray  # f64[positions, candidates]

    def total(self, rows: np.ndarray) -> np.ndarray:
        """f64[N] rounded totals of networks i[N, positions]; dead edges are counted as well."""
        added = self.contributions[np.arange(rows.shape[1]), rows]
        return np.rint(self.fixed + np.where(rows >= 0, added, 0.0).sum(1))


def additive_counts(space: SearchSpace, size: NetworkSize) -> dict[str, AdditiveCounts]:
    """MACs and parameters, by counting networks that differ from a base network in one position.

    The base has `none` everywhere, or the first candidates of a chain. Where all positions are
    identical, as in NAS-Bench-201, only one is counted. In spaces whose networks lack some edges,
    the contributions are the solution of a linear system of the counts of a few networks.
    Raises ValueError where counts do not add up.
    """
    if not space.distribution.factorised:
        return _solve(space, size)
    choices, positions = space.genome.space, space.genome.positions
    max_candidates = max(space.genome.cardinalities)
    base = np.array([p.candidates.index(NONE) if NONE in p.candidates else 0 for p in positions])
    first = exact(space, space.genome.decode(base), size, dead_edges=True)
    identical = not genome.is_chain(choices) and len(choices) == 1 and space.digest is None
    added = {name: np.zeros((len(positions), max_candidates)) for name in QUANTITIES}
    for p, position in enumerate(positions[:1] if identical else positions):
        for o in range(len(position.candidates)):
            if o == base[p]:
                continue
            other = base.copy()
            other[p] = o
            counts = exact(space, space.genome.decode(other), size, dead_edges=True)
            for name in QUANTITIES:
                added[name][p, o] = counts[name] - first[name]
    if identical:
        added = {name: np.repeat(value[:1], len(positions), 0) for name, value in added.items()}
    return {name: AdditiveCounts(float(first[name]), added[name]) for name in QUANTITIES}


def _solve(space: SearchSpace, size: NetworkSize) -> dict[str, AdditiveCounts]:
    """MACs and parameters by least squares over networks that identify every contribution.

    In DARTS cells a contribution depends on the cell type and on whether the edge leaves a cell
    input (a reduction cell halves the resolution there); in chains on the position. Raises
    ValueError where that does not hold.
    """
    choices, positions = space.genome.space, space.genome.positions
    max_candidates = max(space.genome.cardinalities)
    computed = {name: {t for _, t in choice.edges} for name, choice in choices.items()}
    group: dict[tuple, int] = {}
    columns = np.full((len(positions), max_candidates), -1)
    for p, position in enumerate(positions):
        inner = position.edge[0] in computed[position.choice]
        place = (position.choice, inner) if space.edges_per_node else (p,)
        for o, op in enumerate(position.candidates):
            columns[p, o] = group.setdefault((*place, op), len(group))
    rows = np.random.default_rng(0).permutation(sampling.representatives(space))
    occurrences = np.zeros((len(rows), len(group) + 1))
    occurrences[:, -1] = 1
    for p in range(len(positions)):
        present = np.flatnonzero(rows[:, p] >= 0)
        np.add.at(occurrences, (present, columns[p, rows[present, p]]), 1)
    _, triangle, order = scipy.linalg.qr(occurrences.T, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > 1e-9 * abs(triangle[0, 0])).sum())
    counted = order[: rank + EXTRA_NETWORKS]
    counts = [exact(space, space.genome.decode(rows[i]), size, dead_edges=True) for i in counted]
    solved = {}
    for name in QUANTITIES:
        values = np.array([count[name] for count in counts], float)
        added = np.linalg.lstsq(occurrences[counted[:rank]], values[:rank], rcond=None)[0]
        if not np.allclose(occurrences[counted] @ added, values, rtol=1e-9):
            raise ValueError(f"The {name} of this space do not add up over its edges.")
        contributions = np.where(columns >= 0, added[columns], 0.0)
        solved[name] = AdditiveCounts(float(added[-1]), contributions)
    return solved


def exact(
    space: SearchSpace, genotype: Genotype, size: NetworkSize, *, dead_edges: bool = False
) -> dict[str, int]:
    """Exact counts of a genotype's network for one image, by default without its dead edges."""
    net = space.network(
        genotype if dead_edges else dataflow.remove_dead_edges(genotype),
        features=size.features, cells=size.cells, classes=size.classes, reductions=None,
        auxiliary=False,
    )  # fmt: skip
    counts = count.size(net, size.image)
    return {"macs": counts.macs, "parameters": counts.parameters}
