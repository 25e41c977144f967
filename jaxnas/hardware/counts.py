"""Multiply-accumulates and parameters of all networks of a space, from exact counts of a few."""

from typing import NamedTuple

import numpy as np
import scipy.linalg

from jaxnas.hardware import programs
from jaxnas.nets import count
from jaxnas.spaces import dataflow, genome, registry
from jaxnas.spaces.choices import NONE
from jaxnas.spaces.genotype import Genotype
from jaxnas.strategies import codes, laws

QUANTITIES = ("macs", "parameters")
CHECKS = 3  # networks counted beyond those that say it all


class Additive(NamedTuple):
    """`fixed` + what each candidate adds at each position."""

    fixed: float
    each: np.ndarray  # f64[positions, candidates]

    def of(self, networks: np.ndarray) -> np.ndarray:
        """f64[N], whole, of i[N, positions] networks, dead edges counted as they stand."""
        each = self.each[np.arange(networks.shape[1]), networks]
        return np.rint(self.fixed + np.where(networks >= 0, each, 0.0).sum(1))


def counted(entry: registry.Entry, size: programs.NetworkSize) -> dict[str, Additive]:
    """Both quantities, by counting networks that differ in one place from a first one.

    The first has `none` everywhere, or the first candidates of a chain. Where all positions are
    alike, as in NAS-Bench-201, one of them is counted. In spaces whose networks have not all edges
    the counts of as many networks as there are unknowns are solved for what each candidate adds.
    Raises ValueError where counts do not add up.
    """
    if not laws.by_edges(entry):
        return _solved(entry, size)
    space = entry.space
    positions, wide = genome.positions(space), max(genome.sizes(space))
    base = np.array([p.candidates.index(NONE) if NONE in p.candidates else 0 for p in positions])
    first = exact(entry, codes.to_genotype(entry, base), size, whole=True)
    alike = not genome.is_chain(space) and len(space) == 1 and entry.digest is None
    each = {name: np.zeros((len(positions), wide)) for name in QUANTITIES}
    for p, position in enumerate(positions[:1] if alike else positions):
        for o in range(len(position.candidates)):
            if o == base[p]:
                continue
            other = base.copy()
            other[p] = o
            found = exact(entry, codes.to_genotype(entry, other), size, whole=True)
            for name in QUANTITIES:
                each[name][p, o] = found[name] - first[name]
    if alike:
        each = {name: np.repeat(value[:1], len(positions), 0) for name, value in each.items()}
    return {name: Additive(float(first[name]), each[name]) for name in QUANTITIES}


def _solved(entry: registry.Entry, size: programs.NetworkSize) -> dict[str, Additive]:
    """Both quantities from networks that together show every candidate wherever it is another.

    An edge of DARTS's cells matters by its cell and by whether it leaves an input, which a reducing
    cell halves; a layer of a path by its place. Raises ValueError where that does not hold.
    """
    positions, wide = genome.positions(entry.space), max(genome.sizes(entry.space))
    inner = {name: {t for _, t in choice.edges} for name, choice in entry.space.items()}
    group: dict[tuple, int] = {}
    columns = np.full((len(positions), wide), -1)
    for p, place in enumerate(positions):
        where = (place.choice, place.edge[0] in inner[place.choice]) if entry.pairs else (p,)
        for o, op in enumerate(place.candidates):
            columns[p, o] = group.setdefault((*where, op), len(group))
    networks = np.random.default_rng(0).permutation(laws.some(entry))
    shown = np.zeros((len(networks), len(group) + 1))
    shown[:, -1] = 1
    for p in range(len(positions)):
        rows = np.flatnonzero(networks[:, p] >= 0)
        np.add.at(shown, (rows, columns[p, networks[rows, p]]), 1)
    _, triangle, order = scipy.linalg.qr(shown.T, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > 1e-9 * abs(triangle[0, 0])).sum())
    seen = order[: rank + CHECKS]
    counts = [exact(entry, codes.to_genotype(entry, networks[i]), size, whole=True) for i in seen]
    found = {}
    for name in QUANTITIES:
        truth = np.array([count[name] for count in counts], float)
        each = np.linalg.lstsq(shown[seen[:rank]], truth[:rank], rcond=None)[0]
        if not np.allclose(shown[seen] @ each, truth, rtol=1e-9):
            raise ValueError(f"The {name} of this space do not add up over its edges.")
        found[name] = Additive(float(each[-1]), np.where(columns >= 0, each[columns], 0.0))
    return found


def exact(
    entry: registry.Entry, found: Genotype, size: programs.NetworkSize, *, whole: bool = False
) -> dict[str, int]:
    """What a genotype's network has and does for one image, as it is deployed (or whole)."""
    net = entry.network(
        found if whole else dataflow.remove_dead_edges(found),
        features=size.features, cells=size.cells, classes=size.classes, reductions=None,
        auxiliary=False,
    )  # fmt: skip
    counts = count.size(net, size.image)
    return {"macs": counts.macs, "parameters": counts.parameters}
