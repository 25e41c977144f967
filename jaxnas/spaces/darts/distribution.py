"""The law of DARTS's cells: every node takes two of its edges, each of them a candidate."""

import itertools
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.spaces import genome
from jaxnas.spaces.choices import AUXILIARY_SKIP, NONE
from jaxnas.spaces.distribution import LEAST, ArchDistribution, Array, Chances

KEPT = 2  # edges of a node


class Cells(NamedTuple):
    """What is drawn: of every node with more than two edges a pair, then of every edge a candidate.

    Positions are numbered as `latency.layout` does.
    """

    taken: list[list[int]]  # of each position the candidates that may stand there
    nodes: list[list[int]]  # the positions of each node with more than two edges
    couples: list[list[tuple[int, int]]]  # of each such node, as indices into its positions


def pairs(space: Space) -> ArchDistribution:
    """Networks are `discretise.top_edges_per_node` of log gates disturbed by Gumbel noise.

    That is in closed form: an edge weighs as much as its candidates but `none` together; the first
    edge of a node is drawn by weight, the second by weight among the others, a candidate by its
    gate within its edge. That a search ends with such draws is ours. Raises ValueError for an edge
    that has nothing but `none`.
    """
    cells = _cells(space)
    first = len(cells.nodes)

    def rows(gates: Gates) -> list[Array]:
        open_, weights = _weighed(space, cells, gates)
        return [
            *(_of_pairs(jnp.stack([weights[p] for p in own])) for own in cells.nodes),
            *(row / total for row, total in zip(open_, weights, strict=True)),
        ]

    def network(codes: Array, xp: ModuleType) -> Array:
        ops = [xp.asarray(np.array(own))[codes[:, first + p]] for p, own in enumerate(cells.taken)]
        return xp.where(_kept(cells, codes, xp), xp.stack(ops, 1), -1)

    def told(codes: np.ndarray) -> np.ndarray:
        return np.concatenate([np.ones((len(codes), first), bool), _kept(cells, codes, np)], 1)

    def chances(gates: Gates) -> Chances:
        found = rows(gates)
        there = [jnp.float32(1)] * len(cells.taken)
        for own, of_node, row in zip(cells.nodes, cells.couples, found, strict=False):
            for e, p in enumerate(own):
                there[p] = row @ np.array([e in pair for pair in of_node], np.float32)
        open_ = []
        for p, place in enumerate(genome.positions(space)):
            nothing = jnp.zeros(len(place.candidates))
            open_.append(nothing.at[np.array(cells.taken[p])].set(there[p] * found[first + p]))
        return Chances(open_, [])

    return ArchDistribution(
        (*map(len, cells.couples), *map(len, cells.taken)),
        lambda gates: gates,
        rows,
        network,
        told,
        lambda found: genome.one_hot(space, found),
        chances,
    )


def _cells(space: Space) -> Cells:
    places = genome.positions(space)
    taken = [
        [o for o, op in enumerate(place.candidates) if op not in (NONE, AUXILIARY_SKIP)]
        for place in places
    ]
    if not all(taken):
        raise ValueError(f"An edge whose only candidate is {NONE!r} can keep nothing.")
    nodes: dict[tuple[str, int], list[int]] = {}
    for p, place in enumerate(places):
        nodes.setdefault((place.choice, place.edge[1]), []).append(p)
    several = [own for own in nodes.values() if len(own) > KEPT]
    couples = [list(itertools.combinations(range(len(own)), KEPT)) for own in several]
    return Cells(taken, several, couples)


def _weighed(space: Space, cells: Cells, gates: Gates) -> tuple[list[Array], list[Array]]:
    """(the gates of what may stand at each position, their sums)."""
    genome.check_gates(space, gates)
    open_ = [
        gates[place.choice][place.row][np.array(own)] + LEAST
        for place, own in zip(genome.positions(space), cells.taken, strict=True)
    ]
    return open_, [row.sum() for row in open_]


def _of_pairs(weights: Array) -> Array:
    """f[pairs]: how likely two of f[edges] are drawn, one after the other."""
    weights = weights / weights.sum()
    others = (1 - np.eye(len(weights))) @ weights  # not 1 - weights, which may come to 0
    i, j = np.array(list(itertools.combinations(range(len(weights)), KEPT))).T
    return weights[i] * weights[j] * (1 / others[i] + 1 / others[j])


def _kept(cells: Cells, codes: Array, xp: ModuleType) -> Array:
    """bool[N, positions] of i[N, D]."""
    columns: Sequence[Array] = [xp.ones(len(codes), bool)] * len(cells.taken)
    for d, (own, of_node) in enumerate(zip(cells.nodes, cells.couples, strict=True)):
        for e, p in enumerate(own):
            columns[p] = xp.asarray(np.array([e in pair for pair in of_node]))[codes[:, d]]
    return xp.stack(columns, 1)
