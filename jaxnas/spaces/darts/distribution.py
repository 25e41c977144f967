"""The distribution over DARTS's cells: two edges drawn for a node, a candidate for each edge."""

import itertools
from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import AUXILIARY_SKIP, NONE, Gates, Space
from jaxnas.spaces import genome
from jaxnas.spaces.distribution import MIN_PROBABILITY, ArchDistribution, Array, Marginals

EDGES_PER_NODE = 2


class CellDraws(NamedTuple):
    """The draws: a pair of edges for every node with more than two, then a candidate an edge.

    Positions are numbered as in `genome`.
    """

    candidates: list[list[int]]  # of each position those that may be selected
    nodes: list[list[int]]  # the positions of each node with more than two edges
    pairs: list[list[tuple[int, int]]]  # of each such node, as indices into its positions


def pairs(space: Space) -> ArchDistribution:
    """The distribution of `discretise.top_edges_per_node` of log gates with Gumbel noise.

    In closed form: the weight of an edge is the sum of its gates without `none`; the first edge of
    a node is drawn by weight, the second by weight among the others, a candidate by its gate within
    its edge. This distribution for searches is ours. Raises ValueError for an edge whose only
    candidate is `none`.
    """
    draws_of = _draws(space)
    first = len(draws_of.nodes)

    def probabilities(gates: Gates) -> list[Array]:
        rows, weights = _weights(space, draws_of, gates)
        return [
            *(_of_pairs(jnp.stack([weights[p] for p in node])) for node in draws_of.nodes),
            *(row / total for row, total in zip(rows, weights, strict=True)),
        ]

    def genomes(draws: Array, xp: ModuleType) -> Array:
        ops = [
            xp.asarray(np.array(candidates))[draws[:, first + p]]
            for p, candidates in enumerate(draws_of.candidates)
        ]
        return xp.where(_is_kept(draws_of, draws, xp), xp.stack(ops, 1), -1)

    def active(draws: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [np.ones((len(draws), first), bool), _is_kept(draws_of, draws, np)], 1
        )

    def marginals(gates: Gates) -> Marginals:
        rows = probabilities(gates)
        edge_probabilities = [jnp.float32(1)] * len(draws_of.candidates)
        for node, of_node, row in zip(draws_of.nodes, draws_of.pairs, rows, strict=False):
            for e, p in enumerate(node):
                edge_probabilities[p] = row @ np.array([e in pair for pair in of_node], np.float32)
        candidates = []
        for p, position in enumerate(genome.positions(space)):
            zeros = jnp.zeros(len(position.candidates))
            columns = np.array(draws_of.candidates[p])
            candidates.append(zeros.at[columns].set(edge_probabilities[p] * rows[first + p]))
        return Marginals(candidates, [])

    cardinalities = (*map(len, draws_of.pairs), *map(len, draws_of.candidates))
    return ArchDistribution(
        cardinalities, lambda gates: gates, probabilities, genomes, active, marginals
    )


def _draws(space: Space) -> CellDraws:
    positions = genome.positions(space)
    candidates = [
        [o for o, op in enumerate(position.candidates) if op not in (NONE, AUXILIARY_SKIP)]
        for position in positions
    ]
    if not all(candidates):
        raise ValueError(f"An edge whose only candidate is {NONE!r} can keep nothing.")
    nodes: dict[tuple[str, int], list[int]] = {}
    for p, position in enumerate(positions):
        nodes.setdefault((position.choice, position.edge[1]), []).append(p)
    several = [node for node in nodes.values() if len(node) > EDGES_PER_NODE]
    couples = [list(itertools.combinations(range(len(n)), EDGES_PER_NODE)) for n in several]
    return CellDraws(candidates, several, couples)


def _weights(space: Space, draws_of: CellDraws, gates: Gates) -> tuple[list[Array], list[Array]]:
    """(the gates of the candidates that may be selected at each position, their sums)."""
    genome.check_gates(space, gates)
    rows = [
        gates[position.choice][position.row][np.array(candidates)] + MIN_PROBABILITY
        for position, candidates in zip(genome.positions(space), draws_of.candidates, strict=True)
    ]
    return rows, [row.sum() for row in rows]


def _of_pairs(weights: Array) -> Array:
    """f[pairs]: the probability of drawing two of f[edges] without replacement."""
    weights = weights / weights.sum()
    others = (1 - np.eye(len(weights))) @ weights  # not 1 - weights, which may round to 0
    i, j = np.array(list(itertools.combinations(range(len(weights)), EDGES_PER_NODE))).T
    return weights[i] * weights[j] * (1 / others[i] + 1 / others[j])


def _is_kept(draws_of: CellDraws, draws: Array, xp: ModuleType) -> Array:
    """bool[N, positions] of i[N, D]."""
    columns: Sequence[Array] = [xp.ones(len(draws), bool)] * len(draws_of.candidates)
    for d, (node, of_node) in enumerate(zip(draws_of.nodes, draws_of.pairs, strict=True)):
        for e, p in enumerate(node):
            columns[p] = xp.asarray(np.array([e in pair for pair in of_node]))[draws[:, d]]
    return xp.stack(columns, 1)
