"""The distribution over networks that gates define: independent draws, one a position by default.

If networks keep all edges, a candidate is drawn at every position (`factorised`); other spaces draw
as they discretise: pairs of edges a node, or the transitions of a path. Expected costs and the
probability of a network follow from the distribution.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.spaces import genome

Array = Any  # of numpy or of jax.numpy
MIN_PROBABILITY = 1e-9  # added to gates, so that their shares are defined if all are 0


class Marginals(NamedTuple):
    """Probabilities of candidates, and of pairs of neighbours, to which expected costs reduce."""

    candidates: list[Array]  # f[candidates] of each position
    # f[candidates, candidates] of each position of a chain and the next one, in the chain's order;
    # empty for cells, which have no order.
    neighbours: list[Array]


class ArchDistribution(NamedTuple):
    """D draws, the d-th of `cardinalities[d]` outcomes, that together give a genome."""

    cardinalities: tuple[int, ...]
    normalise: Callable[[Gates], Gates]  # applied to gates before `probabilities`
    probabilities: Callable[[Gates], list[Array]]  # f[cardinalities[d]] of each draw
    genomes: Callable[[Array, ModuleType], Array]  # i[N, D] draws -> i[N, positions]
    active: Callable[[np.ndarray], np.ndarray]  # i[N, D] -> bool[N, D]: draws that matter
    marginals: Callable[[Gates], Marginals]
    factorised: bool = False  # each position is one draw: draws are genomes


def normalised(gates: Gates) -> Gates:
    """Gates that sum to one on each edge (those of PC-DARTS sum to the edge's weight)."""
    return {name: gate / gate.sum(-1, keepdims=True) for name, gate in gates.items()}


def factorised(space: Space) -> ArchDistribution:
    """Independent draws, one a position, by its gates: chains, and cells that keep all edges."""

    def probabilities(gates: Gates) -> list[Array]:
        genome.check_gates(space, gates)
        return [gates[position.choice][position.row] for position in genome.positions(space)]

    def marginals(gates: Gates) -> Marginals:
        rows = probabilities(gates)
        order = genome.chain_order(space) if genome.is_chain(space) else ()
        pairs = [jnp.outer(rows[i], rows[j]) for i, j in zip(order, order[1:], strict=False)]
        return Marginals(rows, pairs)

    return ArchDistribution(
        genome.cardinalities(space),
        normalised,
        probabilities,
        lambda draws, xp: draws,
        lambda draws: np.ones(draws.shape, bool),
        marginals,
        factorised=True,
    )
