"""What gates mean: independent draws that together say which network it is.

A law for each way in which a space's networks are selected: every edge by itself (here), two edges
a node (`draw_pairs`), steps of a path (`draw_steps`). What they are expected to cost, and which are
likely, follow from it alone.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.objectives import constraints
from jaxnas.core.types import Gates, Space
from jaxnas.hardware.predict import chain_features
from jaxnas.spaces import genome

Array = Any  # of numpy or of jax.numpy
LEAST = 1e-9  # a share: gates that are shut leave the others' shares defined


class Chances(NamedTuple):
    """How likely what is that a network is made of: sums over networks come down to it."""

    open: list[Array]  # f[candidates] of each position: each candidate stands there
    # f[candidates, candidates] of each position but the last, in the order of a chain: one stands
    # there and the other behind it. Of cells, which have no order, there is none.
    behind: list[Array]


class ArchDistribution(NamedTuple):
    """D draws, the d-th of `sizes[d]` outcomes, say a network i[positions] as `latency.layout`."""

    sizes: tuple[int, ...]
    shares: Callable[[Gates], Gates]  # gates as probabilities, up to what `rows` makes of them
    rows: Callable[[Gates], list[Array]]  # f[sizes[d]] each: the probabilities of its outcomes
    network: Callable[[Array, ModuleType], Array]  # i[N, D] -> i[N, positions]
    told: Callable[[np.ndarray], np.ndarray]  # i[N, D] -> bool[N, D]: the draws that had a say
    gates: Callable[[np.ndarray], Gates]  # i[positions] -> a search's gates, open for it alone
    chances: Callable[[Gates], Chances]


def edges(space: Space) -> ArchDistribution:
    """Every edge takes a candidate by its own gates: chains, and cells that keep all edges."""

    def rows(gates: Gates) -> list[Array]:
        genome.check_gates(space, gates)
        return [gates[position.choice][position.row] for position in genome.positions(space)]

    def chances(gates: Gates) -> Chances:
        found, order = rows(gates), chain_features.order(space) if genome.is_chain(space) else ()
        behind = [jnp.outer(found[i], found[j]) for i, j in zip(order, order[1:], strict=False)]
        return Chances(found, behind)

    return ArchDistribution(
        genome.sizes(space),
        constraints.normalised,
        rows,
        lambda codes, xp: codes,
        lambda codes: np.ones(codes.shape, bool),
        lambda network: genome.one_hot(space, network),
        chances,
    )
