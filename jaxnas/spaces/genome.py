"""How a space's choices lie in a row of numbers, one a position, and in which form it is modelled.

A network is `i[positions]`: at each edge, choice after choice in the order of the space, the index
of its candidate; -1: the edge is not there.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Gates, Space

ENUMERABLE = 1_000_000  # networks: up to here every one of them is predicted


class Position(NamedTuple):
    choice: str
    row: int
    edge: tuple[int, int]
    candidates: tuple[str, ...]


def positions(space: Space) -> tuple[Position, ...]:
    """Every edge of every choice. Raises ValueError for a space without any."""
    found = tuple(
        Position(name, row, choice.edges[row], choice.candidates[row])
        for name, choice in space.items()
        for row in range(len(choice.edges))
    )
    if not found:
        raise ValueError("The space has no choices: there is nothing to fit.")
    return found


def is_chain(space: Space) -> bool:
    """Whether every edge leads from a layer to the next, and no layer stands twice."""
    edges = [edge for choice in space.values() for edge in choice.edges]
    return all(t == s + 1 for s, t in edges) and len(set(edges)) == len(edges)


def sizes(space: Space) -> tuple[int, ...]:
    """How many candidates each position has."""
    return tuple(len(position.candidates) for position in positions(space))


def enumerable(space: Space) -> bool:
    """Whether a cell space is small enough that each of its networks is predicted."""
    return not is_chain(space) and math.prod(sizes(space)) <= ENUMERABLE


def enumerate_all(space: Space, chunk: int = 16384) -> Iterator[np.ndarray]:
    """All networks of an enumerable space in the order of a table's axes, i[chunk, positions]."""
    shape = sizes(space)
    for start in range(0, math.prod(shape), chunk):
        index = np.arange(start, min(start + chunk, math.prod(shape)))
        yield np.stack(np.unravel_index(index, shape), 1)


def sample_uniform(space: Space, count: int, seed: int = 0) -> np.ndarray:
    """Random networks, every candidate equally likely, i[count, positions]."""
    drawn = np.random.default_rng(seed).random((count, len(sizes(space))))
    return (drawn * np.array(sizes(space))).astype(int)


def check(space: Space, cells: np.ndarray) -> np.ndarray:
    """The networks as an integer array. Raises ValueError where they are not the space's."""
    cells, shape = np.asarray(cells), sizes(space)
    if cells.ndim != 2 or cells.shape[1] != len(shape):
        raise ValueError(
            f"Networks of this space have {len(shape)} positions, the array has the shape "
            f"{cells.shape}: give [networks, {len(shape)}], or the space they belong to."
        )
    if not np.issubdtype(cells.dtype, np.integer):
        raise ValueError(f"Networks are whole numbers, indices of candidates, not {cells.dtype}.")
    cells = cells.astype(int)
    wrong = (cells < -1) | (cells >= np.array(shape))
    if wrong.any():
        row, position = np.argwhere(wrong)[0]
        raise ValueError(
            f"Network {row} has candidate {cells[row, position]} at position {position}, which has "
            f"0 to {shape[position] - 1}: the networks are of another space."
        )
    return cells


def one_hot(space: Space, network: np.ndarray) -> dict[str, np.ndarray]:
    """The gates f32[edges, candidates] a choice that open one network, i[positions]."""
    gates = {name: np.zeros(choice.shape, np.float32) for name, choice in space.items()}
    for position, code in zip(positions(space), network, strict=True):
        if code >= 0:
            gates[position.choice][position.row, code] = 1
    return gates


def check_gates(space: Space, gates: Gates) -> None:
    """Raises ValueError unless the gates have the shapes of the space."""
    for name, choice in space.items():
        if name not in gates or tuple(gates[name].shape) != choice.shape:
            shape = tuple(gates[name].shape) if name in gates else "missing"
            raise ValueError(
                f"The gates of {name!r} are {shape}, expected {choice.shape}: the latency was "
                "fitted for another space."
            )
