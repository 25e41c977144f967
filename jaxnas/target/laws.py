"""How the networks of a space are drawn from the gates of its search."""

import numpy as np

from jaxnas import catalogue
from jaxnas.latency import design, draws
from jaxnas.target import codes

SOME = 8000  # networks that stand for a space too large to look through


def of(entry: catalogue.Entry) -> draws.Law:
    """The law of a space: paths through the hypercuboid, DARTS's cells, all others."""
    if entry.searched is not None:
        return draws.steps(entry.searched, catalogue.WIDTHS)
    return draws.pairs(entry.space) if entry.pairs else draws.edges(entry.space)


def by_edges(entry: catalogue.Entry) -> bool:
    """Whether every edge is drawn by itself and stays: then a network is its draws."""
    return entry.searched is None and not entry.pairs


def some(entry: catalogue.Entry, seed: int = 0) -> np.ndarray:
    """i[N, positions]: the corners of a space (`design.anchors`) and random networks."""
    law, random = of(entry), np.random.default_rng(seed)
    drawn = np.stack([random.integers(0, size, SOME) for size in law.sizes], 1)
    corners = [codes.of_genotype(entry.space, g) for g in design.anchors(entry.space, entry.select)]
    return np.unique(np.concatenate([np.array(corners), law.network(drawn, np)]), axis=0)
