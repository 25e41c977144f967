"""The law of a hypercuboid: a path takes, from the width it has come to, one of the steps on."""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import genome
from jaxnas.spaces.distribution import LEAST, ArchDistribution, Array, Chances


class GridLayer(NamedTuple):
    """A layer whose steps are numbered as the candidates of `choices.as_chain`."""

    columns: np.ndarray  # i[steps], into its gates, laid flat
    ends: np.ndarray  # i[steps]: the width after it, an index
    draws: list[np.ndarray]  # the steps among which it is, of each width before it; layer 0: all
    first: int  # the number of its first draw


def steps(grid: Space, widths: Sequence[int]) -> ArchDistribution:
    """Networks are those of `choices.as_chain`.

    The first layer draws among all steps, each later one from every width among those that begin
    there, of which the one that is needed has a say. Ours. Raises ValueError as
    `choices.transitions`.
    """
    layers = _layers(grid, widths)

    def rows(gates: Gates) -> list[Array]:
        genome.check_gates(grid, gates)
        laid = [
            jnp.reshape(gates[key], -1)[layer.columns] + LEAST
            for key, layer in zip(grid, layers, strict=True)
        ]
        some = [gate[own] for gate, layer in zip(laid, layers, strict=True) for own in layer.draws]
        return [row / row.sum() for row in some]

    def told(codes: np.ndarray) -> np.ndarray:
        mask = np.zeros(codes.shape, bool)
        for draw in _followed(layers, codes, np)[0]:
            mask[np.arange(len(codes)), draw] = True
        return mask

    def gates_of(found: np.ndarray) -> Gates:
        opened = {key: np.zeros(choice.shape, np.float32) for key, choice in grid.items()}
        for key, layer, code in zip(grid, layers, found, strict=True):
            opened[key].reshape(-1)[layer.columns[code]] = 1
        return opened

    def chances(gates: Gates) -> Chances:
        found = rows(gates)
        open_, behind = [found[0]], []
        for before, layer in zip(layers, layers[1:], strict=False):
            # Every step begins at one width: its share among those is its chance, once there.
            own = np.concatenate(layer.draws)
            given = jnp.concatenate(found[layer.first : layer.first + len(layer.draws)])
            given = given[np.argsort(own)]
            starts = np.repeat(np.arange(len(layer.draws)), list(map(len, layer.draws)))
            leads = before.ends[:, None] == starts[np.argsort(own)]
            behind.append(open_[-1][:, None] * leads * given)
            open_.append(behind[-1].sum(0))
        return Chances(open_, behind)

    return ArchDistribution(
        tuple(len(own) for layer in layers for own in layer.draws),
        lambda gates: gates,
        rows,
        lambda codes, xp: xp.stack(_followed(layers, codes, xp)[1], 1),
        told,
        gates_of,
        chances,
    )


def _layers(grid: Space, widths: Sequence[int]) -> list[GridLayer]:
    found: list[GridLayer] = []
    for n, ways in enumerate(spaces.transitions(grid, widths)):
        ends = np.array([step.partition(":")[2].split("-") for step in ways], int)
        starts = [ends[:, 0] == width for width in widths] if n else [np.ones(len(ways), bool)]
        after = np.array([widths.index(width) for width in ends[:, 1]])
        first = found[-1].first + len(found[-1].draws) if found else 0
        draws = [np.flatnonzero(own) for own in starts]
        found.append(GridLayer(np.array(list(ways.values())), after, draws, first))
    return found


def _followed(
    layers: Sequence[GridLayer], codes: Array, xp: ModuleType
) -> tuple[list[Array], list[Array]]:
    """(the draw of each layer that had a say, the step it takes), i[N] each, of i[N, D]."""
    at, draws, taken = xp.zeros(len(codes), int), [], []
    for layer in layers:
        table = xp.asarray(np.stack(layer.draws))  # from every width lead equally many
        draw = layer.first + at
        step = table[at, codes[xp.arange(len(codes)), draw]]
        draws, taken, at = [*draws, draw], [*taken, step], xp.asarray(layer.ends)[step]
    return draws, taken
