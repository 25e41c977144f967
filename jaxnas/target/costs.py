"""Multiply-accumulates and parameters of all networks of a space, from exact counts of a few."""

from typing import NamedTuple

import numpy as np

from jaxnas import catalogue
from jaxnas.genotype import Genotype
from jaxnas.latency import layout, programs, prune
from jaxnas.nets import count
from jaxnas.space import NONE
from jaxnas.target import codes

QUANTITIES = ("macs", "parameters")


class Additive(NamedTuple):
    """`fixed` + what each candidate adds at each position."""

    fixed: float
    each: np.ndarray  # f64[positions, candidates]

    def of(self, networks: np.ndarray) -> np.ndarray:
        """f64[N] of i[N, positions] networks, dead edges counted as they stand."""
        return self.fixed + self.each[np.arange(networks.shape[1]), networks].sum(1)


def counted(entry: catalogue.Entry, size: programs.Size) -> dict[str, Additive]:
    """Both quantities, by counting networks that differ in one place from a first one.

    The first has `none` everywhere, or the first candidates of a chain. Where all positions are
    alike, as in NAS-Bench-201, one of them is counted.
    """
    space = entry.space
    positions, wide = layout.positions(space), max(layout.sizes(space))
    base = np.array([p.candidates.index(NONE) if NONE in p.candidates else 0 for p in positions])
    first = exact(entry, codes.to_genotype(entry, base), size, whole=True)
    alike = not layout.is_chain(space) and len(space) == 1 and entry.digest is None
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


def exact(
    entry: catalogue.Entry, found: Genotype, size: programs.Size, *, whole: bool = False
) -> dict[str, int]:
    """What a genotype's network has and does for one image, as it is deployed (or whole)."""
    net = entry.network(
        found if whole else prune.pruned(found),
        features=size.features, cells=size.cells, classes=size.classes, reductions=None,
        auxiliary=False,
    )  # fmt: skip
    counts = count.size(net, size.image)
    return {"macs": counts.macs, "parameters": counts.parameters}
