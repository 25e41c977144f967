"""The distribution over a hypercuboid's paths: in each layer a transition, given the width."""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.spaces import genome
from jaxnas.spaces.distribution import MIN_PROBABILITY, ArchDistribution, Array, Marginals
from jaxnas.spaces.hypercuboid import choices as spaces


class GridLayer(NamedTuple):
    """A layer whose transitions are numbered as the candidates of `choices.as_chain`."""

    columns: np.ndarray  # i[transitions], into its flat gates
    ends: np.ndarray  # i[transitions]: index of the width after it
    draws: list[np.ndarray]  # the transitions from each width; layer 0: all in one draw
    first: int  # the number of its first draw


def transitions(grid: Space, widths: Sequence[int]) -> ArchDistribution:
    """The distribution over the networks of `choices.as_chain`.

    The first layer draws among all transitions, each later one draws, for every width, among those
    that begin there; only the draw for the path's width is active. Ours. Raises ValueError as
    `choices.transitions`.
    """
    layers = _layers(grid, widths)

    def probabilities(gates: Gates) -> list[Array]:
        genome.check_gates(grid, gates)
        flat = [
            jnp.reshape(gates[key], -1)[layer.columns] + MIN_PROBABILITY
            for key, layer in zip(grid, layers, strict=True)
        ]
        rows = [
            gate[draw] for gate, layer in zip(flat, layers, strict=True) for draw in layer.draws
        ]
        return [row / row.sum() for row in rows]

    def active(draws: np.ndarray) -> np.ndarray:
        mask = np.zeros(draws.shape, bool)
        for draw in _follow(layers, draws, np)[0]:
            mask[np.arange(len(draws)), draw] = True
        return mask

    def marginals(gates: Gates) -> Marginals:
        rows = probabilities(gates)
        candidates, neighbours = [rows[0]], []
        for before, layer in zip(layers, layers[1:], strict=False):
            # A transition begins at one width: its conditional probability is its share there.
            order = np.concatenate(layer.draws)
            shares = jnp.concatenate(rows[layer.first : layer.first + len(layer.draws)])
            shares = shares[np.argsort(order)]
            starts = np.repeat(np.arange(len(layer.draws)), list(map(len, layer.draws)))
            follows = before.ends[:, None] == starts[np.argsort(order)]
            neighbours.append(candidates[-1][:, None] * follows * shares)
            candidates.append(neighbours[-1].sum(0))
        return Marginals(candidates, neighbours)

    return ArchDistribution(
        tuple(len(draw) for layer in layers for draw in layer.draws),
        lambda gates: gates,
        probabilities,
        lambda draws, xp: xp.stack(_follow(layers, draws, xp)[1], 1),
        active,
        marginals,
    )


def _layers(grid: Space, widths: Sequence[int]) -> list[GridLayer]:
    layers: list[GridLayer] = []
    for n, columns in enumerate(spaces.transitions(grid, widths)):
        op_widths = np.array([op.partition(":")[2].split("-") for op in columns], int)
        starts = (
            [op_widths[:, 0] == width for width in widths] if n else [np.ones(len(columns), bool)]
        )
        after = np.array([widths.index(width) for width in op_widths[:, 1]])
        first = layers[-1].first + len(layers[-1].draws) if layers else 0
        draws = [np.flatnonzero(start) for start in starts]
        layers.append(GridLayer(np.array(list(columns.values())), after, draws, first))
    return layers


def _follow(
    layers: Sequence[GridLayer], draws: Array, xp: ModuleType
) -> tuple[list[Array], list[Array]]:
    """(the active draw of each layer, the transition it takes), i[N] each, of i[N, D]."""
    width, numbers, path_transitions = xp.zeros(len(draws), int), [], []
    for layer in layers:
        table = xp.asarray(np.stack(layer.draws))  # equally many transitions from each width
        number = layer.first + width
        transition = table[width, draws[xp.arange(len(draws)), number]]
        numbers, path_transitions = [*numbers, number], [*path_transitions, transition]
        width = xp.asarray(layer.ends)[transition]
    return numbers, path_transitions
