"""Discretisation of the hypercuboid: the best path through the grid."""

import itertools
from collections.abc import Sequence

import numpy as np

from jaxnas.core.types import Gates, Space
from jaxnas.spaces import discretise, op_names
from jaxnas.spaces.genotype import Cell, Genotype
from jaxnas.spaces.hypercuboid import choices as spaces


def strongest_path(
    space: Space, gates: Gates, widths: Sequence[int], *, name: str = "hypercuboid"
) -> Genotype:
    """The path through a grid of widths whose gates have the largest product.

    It ends at the last width and has no `none`. An operation is written `op:from-to`, with the
    widths in channels. sharpDARTS takes the longest path through its grid, too,
    https://arxiv.org/abs/1903.09900; that lengths are logarithms of gates is ours. Raises
    ValueError for gates that do not fit the space or are not finite, and if no gate of a layer is
    positive.
    """
    discretise.per_choice(space, gates, name, lambda choice, rows: None)
    rows = []
    for key, columns in zip(space, spaces.transitions(space, widths), strict=True):
        path_gates = np.asarray(gates[key], float).reshape(-1)[list(columns.values())]
        with np.errstate(divide="ignore"):
            rows.append((tuple(columns), np.log(np.maximum(path_gates, 0.0))))
    return _path_of(rows, name)


def path_of_chain(space: Space, gates: Gates, *, name: str = "hypercuboid") -> Genotype:
    """The path of a chain of `choices.as_chain` whose gates have the largest sum.

    Every layer has the output width of the previous one as input width. Raises ValueError for gates
    that do not fit the space or are not finite.
    """
    discretise.per_choice(space, gates, name, lambda choice, rows: None)
    rows = {
        edge: (names, np.asarray(row, float))
        for key, choice in space.items()
        for edge, names, row in zip(choice.edges, choice.candidates, gates[key], strict=True)
    }
    return _path_of([rows[edge] for edge in sorted(rows)], name)


def _path_of(rows: Sequence[tuple[Sequence[str], np.ndarray]], name: str) -> Genotype:
    names, scores = zip(*rows, strict=True)
    steps = [
        np.where(op_names.connect(before, after), 0.0, -np.inf)
        for before, after in itertools.pairwise(names)
    ]
    total, path = discretise.best_path(scores, steps)
    if total == -np.inf:
        raise ValueError("No path of positive gates leads through the grid.")
    edges = tuple((i, i + 1, names[i][op]) for i, op in enumerate(path))
    return Genotype(name, {"grid": Cell(edges, 1, (len(edges),))})
