"""What the gates say: gates -> genotype."""

from collections.abc import Callable

import numpy as np

from jaxnas.genotype import Cell, Genotype
from jaxnas.space import NONE
from jaxnas.types import Choice, Gates, Space


def strongest_pairs(space: Space, gates: Gates, keep: int = 2, *, name: str = "darts") -> Genotype:
    """Each node keeps its `keep` strongest edges, each edge its strongest candidate.

    An edge is as strong as its strongest candidate; `none` counts for neither. Ties go to the
    lower source, then to the candidate listed first. Edges of a node are written strongest
    first; the output is all nodes, concatenated. DARTS, section 2.4;
    quark0/darts cnn/model_search.py. Raises ValueError for gates of another shape, gates that
    are not finite, an edge whose only candidate is `none`, and for a `keep` below one or above
    the number of edges that enter some node.
    """

    def cell(choice: Choice, gates: np.ndarray) -> Cell:
        edges = []
        targets = sorted({target for _, target in choice.edges})
        for node in targets:
            rows = [i for i, (_, target) in enumerate(choice.edges) if target == node]
            if not 1 <= keep <= len(rows):
                raise ValueError(
                    f"{len(rows)} edges enter node {node}, of which {keep} cannot be kept."
                )
            best = {i: _best(choice.candidates[i], gates[i]) for i in rows}
            order = sorted(rows, key=lambda i: (-best[i][0], choice.edges[i][0]))
            edges += [(choice.edges[i][0], node, best[i][1]) for i in order[:keep]]
        return Cell(tuple(edges), targets[0], tuple(targets))

    return _each(space, gates, name, cell)


def argmax(space: Space, gates: Gates, *, name: str = "nasbench201") -> Genotype:
    """Every edge keeps its strongest candidate, `none` as well; the last node is the output.

    Ties go to the candidate listed first. NAS-Bench-201, https://arxiv.org/abs/2001.00326
    Raises ValueError for gates of another shape and gates that are not finite.
    """

    def cell(choice: Choice, gates: np.ndarray) -> Cell:
        strongest = np.argmax(gates, axis=1)
        edges = tuple(
            (source, target, names[best])
            for (source, target), names, best in zip(
                choice.edges, choice.candidates, strongest, strict=True
            )
        )
        targets = {target for _, target in choice.edges}
        return Cell(edges, min(targets), (max(targets),))

    return _each(space, gates, name, cell)


def _best(names: tuple[str, ...], row: np.ndarray) -> tuple[float, str]:
    columns = [i for i, name in enumerate(names) if name != NONE]
    if not columns:
        raise ValueError(f"An edge whose only candidate is {NONE!r} can keep nothing.")
    best = max(columns, key=lambda i: row[i])
    return row[best], names[best]


def _each(
    space: Space, gates: Gates, name: str, cell: Callable[[Choice, np.ndarray], Cell]
) -> Genotype:
    cells = {}
    for key, choice in space.items():
        if key not in gates or np.shape(gates[key]) != choice.shape:
            found = np.shape(gates[key]) if key in gates else "missing"
            raise ValueError(f"The gates of {key!r} are {found}, expected {choice.shape}.")
        rows = np.asarray(gates[key])
        if not np.isfinite(rows).all():
            raise ValueError(f"Some gates of {key!r} are not finite: there is nothing to select.")
        cells[key] = cell(choice, rows)
    return Genotype(name, cells)
