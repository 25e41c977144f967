"""The integer encoding of a space's networks: encode, decode, enumerate, sample.

A genome is `i[positions]`: for each edge, choice after choice in the order of the space, the index
of its candidate; -1: the network does not have the edge.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import NONE, Gates, Space
from jaxnas.spaces import dataflow, op_names
from jaxnas.spaces.genotype import Genotype, GenotypeError

ENUMERABLE = 1_000_000  # networks: spaces up to this size are enumerated
# Layers of a chain's genotype that a space may omit, as they have no choice.
MAX_FIXED_LAYERS = 2


class Position(NamedTuple):
    """An edge of a choice."""

    choice: str
    row: int
    edge: tuple[int, int]
    candidates: tuple[str, ...]


class Genome(NamedTuple):
    """The encoding of a space's networks."""

    space: Space
    discretise: Callable[[Space, Gates], Genotype]  # of gates of `space`
    # i[..., positions] -> one-hot gates of a search
    one_hot: Callable[[np.ndarray], Gates]
    # i[N, positions] -> the same networks without their dead edges, which are then `none`
    canonical: Callable[[np.ndarray], np.ndarray]
    # canonical i[N, positions] -> bool[N]: whether data reach the output of every cell
    is_valid: Callable[[np.ndarray], np.ndarray]

    @property
    def positions(self) -> tuple[Position, ...]:
        """Every edge of every choice."""
        return positions(self.space)

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many candidates each position has."""
        return cardinalities(self.space)

    def encode(self, genotype: Genotype) -> np.ndarray:
        """i64[positions]. Raises GenotypeError for a network of another space."""
        return encode(self.space, genotype)

    def decode(self, row: np.ndarray) -> Genotype:
        """The genotype of i[positions]."""
        return self.discretise(self.space, one_hot(self.space, row))


def of_space(
    space: Space,
    discretise: Callable[[Space, Gates], Genotype],
    *,
    gates: Callable[[np.ndarray], Gates] | None = None,
    has_dead_edges: bool = False,
) -> Genome:
    """The genome of a space whose genotypes are `discretise` of one-hot gates.

    `gates`: the `one_hot` of a search whose choices are not those of `space`. `has_dead_edges`:
    every choice keeps all its edges, some of which may be `none`; else no edge can be dead.
    """
    open_alone = lambda rows: one_hot(space, rows)
    if has_dead_edges:
        plan = discretise(space, open_alone(np.zeros(len(positions(space)), int)))
        canonical, is_valid = _with_dead_edges(space, plan)
    else:
        canonical = np.asarray
        is_valid = lambda rows: np.ones(len(rows), bool)
    return Genome(space, discretise, gates or open_alone, canonical, is_valid)


def positions(space: Space) -> tuple[Position, ...]:
    """Every edge of every choice. Raises ValueError for a space without any."""
    all_positions = tuple(
        Position(name, row, choice.edges[row], choice.candidates[row])
        for name, choice in space.items()
        for row in range(len(choice.edges))
    )
    if not all_positions:
        raise ValueError("The space has no choices: there is nothing to fit.")
    return all_positions


def cardinalities(space: Space) -> tuple[int, ...]:
    """How many candidates each position has."""
    return tuple(len(position.candidates) for position in positions(space))


def is_chain(space: Space) -> bool:
    """Whether every edge connects consecutive layers, and no layer occurs twice."""
    edges = [edge for choice in space.values() for edge in choice.edges]
    return all(t == s + 1 for s, t in edges) and len(set(edges)) == len(edges)


def chain_order(space: Space) -> np.ndarray:
    """i[layers]: the positions of a chain in the order in which they are executed."""
    return np.argsort([position.edge[0] for position in positions(space)])


def is_enumerable(space: Space) -> bool:
    """Whether a space of cells is small enough to predict each of its networks."""
    return not is_chain(space) and math.prod(cardinalities(space)) <= ENUMERABLE


def enumerate_all(space: Space, chunk: int = 16384) -> Iterator[np.ndarray]:
    """All networks of an enumerable space, the last position fastest, i64[chunk, positions]."""
    shape = cardinalities(space)
    for start in range(0, math.prod(shape), chunk):
        index = np.arange(start, min(start + chunk, math.prod(shape)))
        yield np.stack(np.unravel_index(index, shape), 1)


def index(space: Space, rows: np.ndarray) -> np.ndarray:
    """i64[...]: the indices of networks i[..., positions] in `enumerate_all`."""
    rows = np.moveaxis(np.asarray(rows, np.int64), -1, 0)
    shape = cardinalities(space)
    return np.ravel_multi_index(tuple(rows), shape)  # pyright: ignore[reportReturnType]


def sample_uniform(space: Space, count: int, seed: int = 0) -> np.ndarray:
    """Random networks, every candidate equally likely, i64[count, positions]."""
    drawn = np.random.default_rng(seed).random((count, len(cardinalities(space))))
    return (drawn * np.array(cardinalities(space))).astype(int)


def sample_distinct(space: Space, count: int, seed: int) -> np.ndarray:
    """Different random networks of an enumerable space, i64[count, positions].

    Raises ValueError for a count that is not from 1 to all of them.
    """
    shape = cardinalities(space)
    total = math.prod(shape)
    if not 1 <= count <= total:
        raise ValueError(f"{count} networks cannot be drawn: ask for 1 to {total:,}.")
    drawn = np.random.default_rng(seed).choice(total, count, replace=False)
    return np.stack(np.unravel_index(drawn, shape), 1)


def mutate(space: Space, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """i64[N, positions]: the networks with one position, at random, changed to another candidate.

    Positions without a choice stay. Raises ValueError for a space without any choice.
    """
    rows, shape = np.array(rows, int), np.array(cardinalities(space))
    free = np.flatnonzero(shape > 1)
    if not len(free):
        raise ValueError("The space has one network: there is nothing to mutate.")
    number, position = np.arange(len(rows)), random.choice(free, len(rows))
    ways = shape[position]
    shift = 1 + (random.random(len(rows)) * (ways - 1)).astype(int)
    rows[number, position] = (rows[number, position] + shift) % ways
    return rows


def check(space: Space, rows: np.ndarray) -> np.ndarray:
    """The networks as an integer array. Raises ValueError where they are not the space's."""
    rows, shape = np.asarray(rows), cardinalities(space)
    if rows.ndim != 2 or rows.shape[1] != len(shape):
        raise ValueError(
            f"Networks of this space have {len(shape)} positions, the array has the shape "
            f"{rows.shape}: give [networks, {len(shape)}], or the space they belong to."
        )
    if not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"Networks are whole numbers, indices of candidates, not {rows.dtype}.")
    rows = rows.astype(int)
    invalid = (rows < -1) | (rows >= np.array(shape))
    if invalid.any():
        row, position = np.argwhere(invalid)[0]
        raise ValueError(
            f"Network {row} has candidate {rows[row, position]} at position {position}, which has "
            f"0 to {shape[position] - 1}: the networks are of another space."
        )
    return rows


def encode(space: Space, genotype: Genotype) -> np.ndarray:
    """i64[positions] of a genotype; -1: it does not have the edge.

    A chain's genotype has all layers in one cell, and up to two in which its space has no choice.
    Raises GenotypeError for a genotype of another space.
    """
    chain = is_chain(space)
    edges = [edge for cell in genotype.cells.values() for edge in cell.edges]
    of_choice = {
        name: edges if chain or name not in genotype.cells else genotype.cells[name].edges
        for name in space
    }
    ops = {name: {(s, t): op for s, t, op in cell_edges} for name, cell_edges in of_choice.items()}
    row = []
    for position in positions(space):
        op = ops[position.choice].get(position.edge)
        if op is not None and op not in position.candidates:
            raise GenotypeError(
                f"The space has no {op!r} at {position.edge}, only "
                f"{', '.join(position.candidates)}: the genotype is of another space."
            )
        row.append(-1 if op is None else position.candidates.index(op))
    known_edges = len(row) - row.count(-1)
    if chain:
        has_same_edges = -1 not in row and len(edges) <= known_edges + MAX_FIXED_LAYERS
    else:
        has_same_edges = known_edges == len(edges)
    if not known_edges or not has_same_edges:
        raise GenotypeError(
            "The genotype has other edges than the space: it is of another, or of other --cells."
        )
    check_widths([op for _, _, op in edges] if chain else [])
    return np.array(row)


def check_widths(layers: list[str]) -> None:
    """Raises GenotypeError if a layer's input width differs from the previous output width."""
    for before, after in itertools.pairwise(layers):
        if not op_names.connect([before], [after]).all():
            raise GenotypeError(f"{after!r} follows {before!r}, which has another width.")


def one_hot(space: Space, rows: np.ndarray) -> dict[str, np.ndarray]:
    """One-hot gates f32[..., edges, candidates] a choice, of networks i[..., positions]."""
    rows, gates, start = np.asarray(rows), {}, 0
    for name, choice in space.items():
        codes = rows[..., start : start + len(choice.edges)]
        gates[name] = (codes[..., None] == np.arange(choice.shape[1])).astype(np.float32)
        start += len(choice.edges)
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


def _with_dead_edges(space: Space, plan: Genotype) -> tuple[Callable, Callable]:
    """`canonical` and `is_valid` of cells with the inputs and outputs of those of `plan`."""
    graphs = [
        dataflow.of_choice(choice)._replace(
            inputs=tuple(range(plan.cells[name].inputs)), outputs=plan.cells[name].concat
        )
        for name, choice in space.items()
    ]
    none_index = np.array(
        [p.candidates.index(NONE) if NONE in p.candidates else -1 for p in positions(space)]
    )
    is_source = [np.array([op == dataflow.NOISE for op in p.candidates]) for p in positions(space)]
    ends = np.cumsum([len(graph.edges) for graph in graphs])
    slices = [slice(end - len(g.edges), end) for g, end in zip(graphs, ends, strict=True)]

    def canonical(rows: np.ndarray) -> np.ndarray:
        rows = np.array(rows)
        sources = np.stack([is_source[p][rows[:, p]] for p in range(rows.shape[1])], 1)
        for graph, part in zip(graphs, slices, strict=True):
            present = rows[:, part] != none_index[part]
            live = dataflow.live_edges(graph, present, sources[:, part])
            rows[:, part] = np.where(live, rows[:, part], none_index[part])
        return rows

    def is_valid(rows: np.ndarray) -> np.ndarray:
        present = np.asarray(rows) != none_index
        return np.all([present[:, part].any(1) for part in slices], 0)

    return canonical, is_valid
