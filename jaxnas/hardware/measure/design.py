"""Experimental design: the networks to measure, anchors first, then D-optimal and distant ones.

Every prefix of the sequence is a design as well, so that a budget may cut it anywhere.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.spaces import dataflow, sampling
from jaxnas.spaces.genome import Genome
from jaxnas.spaces.genotype import Genotype, compact

POOL = 3000  # random genotypes to choose from
REPLICATES = 10  # pairs of twins in a campaign; fewer below 50 networks
# One more pair is due at each of these numbers of networks, wherever a budget cuts.
PAIR_DUE_AT = 5, 10, 30, 50


class DesignPoint(NamedTuple):
    """A network to measure, and the network it replicates, if any."""

    genotype: Genotype
    twin_of: Genotype | None = None
    recompiled: bool = False  # the replicate is the same program, compiled again


def networks(
    code: Genome, count: int, seed: int = 0, *, or_fewer: bool = False, dead_share: float = 0.0
) -> list[Genotype]:
    """`count` distinct genotypes: anchors, then alternately D-optimal and farthest ones.

    Anchors are those of `sampling.anchors`. The D-optimal choice maximises
    x' inverse(X'X + ridge) x over counts x of operations, with and without dead edges; the farthest
    one shares fewest edges with its nearest chosen one. Both choose among 3000 random genotypes,
    half of which favour some operations; disconnected ones are left out.

    At least `dead_share` of the networks have dead edges, for a device that may execute them (a
    table from elsewhere; our own programs are pruned): networks are distinct as written then, else
    as programs. Raises ValueError for a count below 1, for a share outside 0 to 1 or of a space
    without dead edges, and where the space has fewer networks, unless `or_fewer`: then all of them.
    """
    if count < 1:
        raise ValueError(f"{count} networks are nothing to measure: give 1 or more.")
    if not 0 <= dead_share <= 1:
        raise ValueError(f"{dead_share} of the networks have dead branches: give a share, 0 to 1.")
    key = compact if dead_share else _key
    chosen = sampling.anchors(code)[:count]
    pool = [g for g in _pool(code, seed) if dataflow.is_connected(g)]
    used = {key(g) for g in chosen}
    pool = list({k: g for g in pool if (k := key(g)) not in used}.values())
    if or_fewer:
        count = min(count, len(chosen) + len(pool))
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
    has_dead = np.array([dead_share > 0 and dataflow.remove_dead_edges(g) != g for g in candidates])
    if dead_share and not has_dead.any():
        raise ValueError("No network of this space has dead branches: leave out their share.")
    selected = list(range(len(chosen)))
    available = np.ones(len(candidates), bool)
    available[selected] = False
    precision = np.eye(counts.shape[1]) * 1e2  # inverse of the ridge 0.01
    nearest = np.full(len(candidates), rows.shape[1], int)
    for i in selected:
        precision = _rank_one_update(precision, counts[i])
        nearest = np.minimum(nearest, (rows != rows[i]).sum(1))
    while len(selected) < count:
        gain = np.einsum("ij,jk,ik->i", counts, precision, counts)
        # Alternately; ties in distance go to the larger gain.
        score = gain if len(selected) % 2 else nearest + gain / (1 + gain.max())
        is_due = has_dead[selected].sum() < dead_share * (len(selected) + 1)
        allowed = available & has_dead if is_due and (available & has_dead).any() else available
        i = int(np.argmax(np.where(allowed, score, -np.inf)))
        selected.append(i)
        available[i] = False
        precision = _rank_one_update(precision, counts[i])
        nearest = np.minimum(nearest, (rows != rows[i]).sum(1))
    return [candidates[i] for i in selected]


def with_replicates(
    genotypes: Sequence[Genotype], space: Space | None = None, pairs: int | None = None
) -> list[DesignPoint]:
    """The genotypes, some of them followed by a replicate.

    `pairs`: by default one in five, at least 2 and at most 10. Replicated are the first genotypes
    with an isomorph (`dataflow.isomorph`) that is not in the design; where that leaves the first 5,
    10, 30 or 50 networks without 1, 2, 3 or 4 pairs, or too few in all, some are compiled again.
    """
    pair_count = min(REPLICATES, max(2, len(genotypes) // 5)) if pairs is None else pairs
    used, replicates = {compact(g) for g in genotypes}, {}
    pairs_due = lambda count: sum(count >= due for due in PAIR_DUE_AT)
    for i, genotype in enumerate(genotypes):
        if len(replicates) == pair_count:
            break
        isomorph = dataflow.isomorph(genotype, space)
        if isomorph is not None and compact(isomorph) not in used:
            replicates[i] = DesignPoint(isomorph, genotype)
            used.add(compact(isomorph))
        elif len(replicates) < pairs_due(i + 1) and dataflow.is_connected(genotype):
            replicates[i] = DesignPoint(genotype, genotype, recompiled=True)
    for i, genotype in enumerate(genotypes):
        if len(replicates) < pair_count and i not in replicates and dataflow.is_connected(genotype):
            replicates[i] = DesignPoint(genotype, genotype, recompiled=True)
    rows = (
        [DesignPoint(g), *([replicates[i]] if i in replicates else [])]
        for i, g in enumerate(genotypes)
    )
    return [point for row in rows for point in row]


def _pool(code: Genome, seed: int) -> Iterable[Genotype]:
    """Discretised random gates; the second half favours some operations.

    Otherwise extreme counts, such as one operation on all six edges, would hardly occur.
    """
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
    """f64[N, F]: 1, and the counts of operations per choice, with and without dead edges."""
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


def _rank_one_update(precision: np.ndarray, x: np.ndarray) -> np.ndarray:
    """inverse(A + x x') from inverse(A), by the Sherman-Morrison formula."""
    v = precision @ x
    return precision - np.outer(v, v) / (1 + x @ v)


def _key(genotype: Genotype) -> str:
    """A key that is equal for genotypes of equal programs."""
    return compact(dataflow.remove_dead_edges(genotype))
