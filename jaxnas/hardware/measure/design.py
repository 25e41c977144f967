"""Which networks to measure: anchors, then networks that cover the space, never plain chance.

In the order given, any beginning is a design of its own, so that a budget may cut it anywhere.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.spaces import dataflow, sampling
from jaxnas.spaces.genome import Genome
from jaxnas.spaces.genotype import Genotype, compact

POOL = 3000  # genotypes that the design chooses among
REPLICATES = 10  # pairs of equal programs in a campaign; fewer where it has fewer than 50 networks
DUE = 5, 10, 30, 50  # networks that have one pair more among them, wherever a budget cuts


class DesignPoint(NamedTuple):
    """A network to measure, and which one it replicates."""

    genotype: Genotype
    twin_of: Genotype | None = None
    again: bool = False  # the twin is the same program, compiled again


def networks(code: Genome, count: int, seed: int = 0) -> list[Genotype]:
    """`count` different genotypes: anchors, then by turns D-optimal and far from all chosen.

    Anchors are those of `sampling.anchors`. The D-optimal turn takes the genotype with the largest
    x' inverse(X'X + ridge) x of its operation counts, with and without dead edges; the other the
    one that shares fewest edges with the nearest one chosen. Both choose among 3000 random
    genotypes, half of which prefer some operations; dead ones are left out. Raises ValueError for
    a count below 1, and where the space has not so many.
    """
    if count < 1:
        raise ValueError(f"{count} networks are nothing to measure: give 1 or more.")
    chosen = sampling.anchors(code)[:count]
    pool = [g for g in _pool(code, seed) if dataflow.is_connected(g)]
    taken = {_key(g) for g in chosen}
    pool = list({k: g for g in pool if (k := _key(g)) not in taken}.values())
    if len(chosen) + len(pool) < count:
        raise ValueError(
            f"{len(chosen) + len(pool)} different networks of this space were found, fewer than "
            f"{count}: ask for fewer."
        )
    if len(chosen) == count:
        return chosen
    candidates = [*chosen, *pool]
    rows = np.array([code.encode(g) for g in candidates])
    counts = _scaled(_counts(code, rows))
    inside = list(range(len(chosen)))
    free = np.ones(len(candidates), bool)
    free[inside] = False
    precision = np.eye(counts.shape[1]) * 1e2  # inverse of the ridge 0.01
    nearest = np.full(len(candidates), rows.shape[1], int)
    for i in inside:
        precision = _with(precision, counts[i])
        nearest = np.minimum(nearest, (rows != rows[i]).sum(1))
    while len(inside) < count:
        gain = np.einsum("ij,jk,ik->i", counts, precision, counts)
        # By turns; of equally far ones the one that teaches most.
        score = gain if len(inside) % 2 else nearest + gain / (1 + gain.max())
        i = int(np.argmax(np.where(free, score, -np.inf)))
        inside.append(i)
        free[i] = False
        precision = _with(precision, counts[i])
        nearest = np.minimum(nearest, (rows != rows[i]).sum(1))
    return [candidates[i] for i in inside]


def with_replicates(
    genotypes: Sequence[Genotype], space: Space | None = None, pairs: int | None = None
) -> list[DesignPoint]:
    """The genotypes, some of them followed by a replicate each.

    `pairs`: by default one in five, at least 2 and at most 10. Those are the first that have an
    isomorph (`dataflow.isomorph`) which is not chosen already; where that leaves the first 5, 10,
    30 or 50 networks without 1, 2, 3 or 4 pairs, or all with too few, some are measured twice.
    """
    wanted = min(REPLICATES, max(2, len(genotypes) // 5)) if pairs is None else pairs
    taken, twins = {compact(g) for g in genotypes}, {}
    for i, genotype in enumerate(genotypes):
        if len(twins) == wanted:
            break
        other = dataflow.isomorph(genotype, space)
        if other is not None and compact(other) not in taken:
            twins[i] = DesignPoint(other, genotype)
            taken.add(compact(other))
        elif len(twins) < sum(i + 1 >= due for due in DUE) and dataflow.is_connected(genotype):
            twins[i] = DesignPoint(genotype, genotype, again=True)
    for i, genotype in enumerate(genotypes):
        if len(twins) < wanted and i not in twins and dataflow.is_connected(genotype):
            twins[i] = DesignPoint(genotype, genotype, again=True)
    rows = ([DesignPoint(g), *([twins[i]] if i in twins else [])] for i, g in enumerate(genotypes))
    return [point for row in rows for point in row]


def _pool(code: Genome, seed: int) -> Iterable[Genotype]:
    """What random gates select; the second half prefers some operations, so that rare counts,
    six times the same operation, are not as rare as chance makes them."""
    random, space = np.random.default_rng(seed), code.space
    names = list(dict.fromkeys(op for c in space.values() for row in c.candidates for op in row))
    for i in range(POOL):
        values = dict.fromkeys(names, 0.0)
        if i >= POOL // 2:
            shares = random.dirichlet(np.full(len(names), 0.5))
            values = dict(zip(names, np.log(shares + 1e-6), strict=True))
        noise = {key: random.gumbel(size=c.shape) for key, c in space.items()}
        gates = sampling.equal_gates(space, values)
        yield code.discretise(space, {key: gates[key] + noise[key] for key in space})


def _counts(code: Genome, rows: np.ndarray) -> np.ndarray:
    """f64[N, F]: 1, and how often each choice has each operation, with dead edges and without."""
    columns = [np.ones(len(rows))]
    for networks in (rows, code.canonical(rows)):
        start = 0
        for choice in code.space.values():
            names = dict.fromkeys(op for row in choice.candidates for op in row)
            part = networks[:, start : start + len(choice.edges)]
            start += len(choice.edges)
            for name in names:
                index = [row.index(name) if name in row else -2 for row in choice.candidates]
                columns.append((part == np.array(index)).sum(1).astype(float))
    return np.stack(columns, 1)


def _scaled(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.max(0), 1)


def _with(precision: np.ndarray, x: np.ndarray) -> np.ndarray:
    """inverse(A + x x') from inverse(A), Sherman and Morrison."""
    v = precision @ x
    return precision - np.outer(v, v) / (1 + x @ v)


def _key(genotype: Genotype) -> str:
    """Equal for genotypes whose programs are equal."""
    return compact(dataflow.remove_dead_edges(genotype))
