"""Which networks to measure: anchors, then networks that cover the space, never plain chance.

In the order given, any beginning is a design of its own, so that a budget may cut it anywhere.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.hardware import programs
from jaxnas.spaces import dataflow
from jaxnas.spaces.choices import NONE
from jaxnas.spaces.genotype import Genotype

POOL = 3000  # genotypes that the design chooses among
REPLICATES = 10  # pairs of equal programs in a campaign; fewer where it has fewer than 50 networks
DUE = 5, 10, 30, 50  # networks that have one pair more among them, wherever a budget cuts

Select = Callable[[Space, Gates], Genotype]


class DesignPoint(NamedTuple):
    genotype: Genotype
    twin_of: Genotype | None = None
    again: bool = False  # the twin is the same program, compiled again


def networks(space: Space, select: Select, count: int, seed: int = 0) -> list[Genotype]:
    """`count` different genotypes: anchors, then by turns D-optimal and far from all chosen.

    Anchors: the same operation on every edge, for each (the empty and the largest network are
    among them), and each alone on the edge from first to last node where all others may be
    `none`. The D-optimal turn takes the genotype with the largest x' inverse(X'X + ridge) x of
    its operation counts, whole and pruned; the other the one that shares fewest edges with the
    nearest one chosen. Both choose among 3000 random genotypes, half of which like some
    operations better than others; dead ones are left out. Raises ValueError for a count below 1,
    and where the space has not so many.
    """
    if count < 1:
        raise ValueError(f"{count} networks are nothing to measure: give 1 or more.")
    chosen = anchors(space, select)[:count]
    pool = [g for g in _pool(space, select, seed) if dataflow.is_connected(g)]
    taken = {_key(g) for g in chosen}
    pool = list({k: g for g in pool if (k := _key(g)) not in taken}.values())
    if len(chosen) + len(pool) < count:
        raise ValueError(
            f"{len(chosen) + len(pool)} different networks of this space were found, fewer than "
            f"{count}: ask for fewer."
        )
    if len(chosen) == count:
        return chosen
    everything = [*chosen, *pool]
    counts = _scaled(np.array([_counts(g, space) for g in everything]))
    edges = np.array([_edges(g, space) for g in everything])
    inside = list(range(len(chosen)))
    free = np.ones(len(everything), bool)
    free[inside] = False
    precision = np.eye(counts.shape[1]) * 1e2  # inverse of the ridge 0.01
    nearest = np.full(len(everything), edges.shape[1], int)
    for i in inside:
        precision = _with(precision, counts[i])
        nearest = np.minimum(nearest, (edges != edges[i]).sum(1))
    while len(inside) < count:
        gain = np.einsum("ij,jk,ik->i", counts, precision, counts)
        # By turns; of equally far ones the one that teaches most.
        score = gain if len(inside) % 2 else nearest + gain / (1 + gain.max())
        i = int(np.argmax(np.where(free, score, -np.inf)))
        inside.append(i)
        free[i] = False
        precision = _with(precision, counts[i])
        nearest = np.minimum(nearest, (edges != edges[i]).sum(1))
    return [everything[i] for i in inside]


def anchors(space: Space, select: Select) -> list[Genotype]:
    """The corners of a space: see `networks`."""
    names = dict.fromkeys(op for c in space.values() for row in c.candidates for op in row)
    found = [select(space, _likes(space, {name: 1.0})) for name in names]
    if all(NONE in row for c in space.values() for row in c.candidates):
        for name in names:
            gates = _likes(space, {NONE: 1.0})
            for key, choice in space.items():
                ends = min(e[0] for e in choice.edges), max(e[1] for e in choice.edges)
                if ends in choice.edges and name in (row := choice.candidates[0]):
                    gates[key][choice.edges.index(ends), row.index(name)] = 2.0
            found.append(select(space, gates))
    return list({_key(g): g for g in found}.values())


def with_replicates(
    found: Sequence[Genotype], space: Space | None = None, pairs: int | None = None
) -> list[DesignPoint]:
    """The genotypes, some of them followed by a twin each.

    `pairs`: by default one in five, at least 2 and at most 10. Those are the first that have a
    twin (`dataflow.isomorph`) which is not chosen already; where that leaves the first 5, 10, 30 or
    50 networks without 1, 2, 3 or 4 pairs, or all with too few, some are measured a second time.
    """
    wanted = min(REPLICATES, max(2, len(found) // 5)) if pairs is None else pairs
    taken, twins = {_text(g) for g in found}, {}
    for i, genotype in enumerate(found):
        if len(twins) == wanted:
            break
        other = dataflow.isomorph(genotype, space)
        if other is not None and _text(other) not in taken:
            twins[i] = DesignPoint(other, genotype)
            taken.add(_text(other))
        elif len(twins) < sum(i + 1 >= due for due in DUE) and dataflow.is_connected(genotype):
            twins[i] = DesignPoint(genotype, genotype, again=True)
    for i, genotype in enumerate(found):
        if len(twins) < wanted and i not in twins and dataflow.is_connected(genotype):
            twins[i] = DesignPoint(genotype, genotype, again=True)
    rows = ([DesignPoint(g), *([twins[i]] if i in twins else [])] for i, g in enumerate(found))
    return [choice for row in rows for choice in row]


def _pool(space: Space, select: Select, seed: int) -> Iterable[Genotype]:
    """What random gates select; the second half prefers some operations, so that rare counts,
    six times the same operation, are not as rare as chance makes them."""
    random = np.random.default_rng(seed)
    names = list(dict.fromkeys(op for c in space.values() for row in c.candidates for op in row))
    for i in range(POOL):
        likes = dict.fromkeys(names, 0.0)
        if i >= POOL // 2:
            shares = random.dirichlet(np.full(len(names), 0.5))
            likes = dict(zip(names, np.log(shares + 1e-6), strict=True))
        noise = {key: random.gumbel(size=c.shape) for key, c in space.items()}
        gates = _likes(space, likes)
        yield select(space, {key: gates[key] + noise[key] for key in space})


def _likes(space: Space, likes: dict[str, float]) -> dict[str, np.ndarray]:
    """Gates that are the same on every edge."""
    return {
        key: np.array([[likes.get(op, 0.0) for op in row] for row in choice.candidates])
        for key, choice in space.items()
    }


def _counts(genotype: Genotype, space: Space) -> list[float]:
    """1, and for every cell how often each operation stands in it, whole and pruned."""
    row = [1.0]
    for found in (genotype, dataflow.remove_dead_edges(genotype)):
        for key, choice in space.items():
            standing = [op for _, _, op in _standing(found, space, key)]
            names = dict.fromkeys(op for ops in choice.candidates for op in ops)
            row += [float(standing.count(name)) for name in names]
    return row


def _standing(genotype: Genotype, space: Space, key: str) -> list[tuple[int, int, str]]:
    """The edges of a choice; a chain's genotype has those of all its choices in one cell."""
    own = genotype.cells.get(key)
    cells = genotype.cells.values() if own is None else [own]
    return [edge for cell in cells for edge in cell.edges if edge[:2] in space[key].edges]


def _edges(genotype: Genotype, space: Space) -> list[int]:
    """The operation on every edge of the space, as a number; -1 where the genotype has none."""
    row = []
    for key, choice in space.items():
        names = list(dict.fromkeys(op for ops in choice.candidates for op in ops))
        standing = {(s, t): names.index(op) for s, t, op in _standing(genotype, space, key)}
        row += [standing.get(edge, -1) for edge in choice.edges]
    return row


def _scaled(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.max(0), 1)


def _with(precision: np.ndarray, x: np.ndarray) -> np.ndarray:
    """inverse(A + x x') from inverse(A), Sherman and Morrison."""
    v = precision @ x
    return precision - np.outer(v, v) / (1 + x @ v)


def _key(genotype: Genotype) -> str:
    """Equal for genotypes whose programs are equal."""
    return _text(dataflow.remove_dead_edges(genotype))


def _text(genotype: Genotype) -> str:
    return programs.compact(genotype)
