"""The distribution over networks that gates define: independent draws, one a position by default.

A space of which networks keep all edges draws a candidate at every position (`factorised`); others
draw as they select: pairs of edges a node, or the transitions of a path. What networks are expected
to cost, and which are likely, follow from the distribution alone.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.spaces import genome

Array = Any  # of numpy or of jax.numpy
MIN_PROBABILITY = 1e-9  # a gate that is shut leaves the others' shares defined


class Marginals(NamedTuple):
    """Probabilities of one candidate, and of two neighbours: sums over networks reduce to them."""

    candidates: list[Array]  # f[candidates] of each position
    # f[candidates, candidates] of each position but the last, in the order of a chain: one stands
    # there and the other behind it. Of cells, which have no order, there is none.
    neighbours: list[Array]


class ArchDistribution(NamedTuple):
    """D draws, the d-th of `cardinalities[d]` outcomes, that together give a genome."""

    cardinalities: tuple[int, ...]
    normalise: Callable[[Gates], Gates]  # gates as probabilities, up to what `probabilities` does
    probabilities: Callable[[Gates], list[Array]]  # f[cardinalities[d]] of each draw
    genomes: Callable[[Array, ModuleType], Array]  # i[N, D] draws -> i[N, positions]
    active: Callable[[np.ndarray], np.ndarray]  # i[N, D] -> bool[N, D]: draws that have a say
    marginals: Callable[[Gates], Marginals]
    factorised: bool = False  # every position is a draw by itself, and draws are genomes


def normalised(gates: Gates) -> Gates:
    """Gates whose every edge sums to one (those of PC-DARTS sum to the edge's own share)."""
    return {name: gate / gate.sum(-1, keepdims=True) for name, gate in gates.items()}


def factorised(space: Space) -> ArchDistribution:
    """Every position takes a candidate by its own gates: chains, and cells that keep all edges."""

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
