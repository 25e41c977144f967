"""What the gates say: gates -> genotype."""

from collections.abc import Callable, Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Choice, Gates, Space
from jaxnas.spaces import choices as spaces
from jaxnas.spaces.choices import AUXILIARY_SKIP, NONE
from jaxnas.spaces.genotype import Cell, Genotype


def top_edges_per_node(
    space: Space, gates: Gates, keep: int = 2, *, name: str = "darts"
) -> Genotype:
    """Each node keeps its `keep` strongest edges, each edge its strongest candidate.

    An edge is as strong as its strongest candidate; `none` and an auxiliary skip count for
    neither. Ties go to the
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


def argmax_per_edge(space: Space, gates: Gates, *, name: str = "nasbench201") -> Genotype:
    """Every edge keeps its strongest candidate, `none` as well; the last node is the output.

    An auxiliary skip is never kept. Ties go to the candidate listed first. NAS-Bench-201, https://arxiv.org/abs/2001.00326
    Raises ValueError for gates of another shape and gates that are not finite.
    """

    def cell(choice: Choice, gates: np.ndarray) -> Cell:
        helps = np.array([[op == AUXILIARY_SKIP for op in row] for row in choice.candidates])
        strongest = np.argmax(np.where(helps, -np.inf, gates), axis=1)
        edges = tuple(
            (source, target, names[best])
            for (source, target), names, best in zip(
                choice.edges, choice.candidates, strongest, strict=True
            )
        )
        targets = {target for _, target in choice.edges}
        return Cell(edges, min(targets), (max(targets),))

    return _each(space, gates, name, cell)


def above_threshold(
    space: Space, gates: Gates, threshold: float = 0.85, keep: int = 2, *, name: str = "darts"
) -> Genotype:
    """Each node keeps those of its `keep` strongest edges whose strongest gate is high enough.

    High enough is `threshold` or more, so a node may keep fewer edges; one that keeps none has a
    single edge of `none` and is left out of the cell's output. Else as `top_edges_per_node`.
    FairDARTS, section 4, https://arxiv.org/abs/1911.12126, as the method `threshold_sparse` of
    xiaomi-automl/FairDARTS fairdarts/utils.py. Raises ValueError as `top_edges_per_node`, for a
    threshold not between 0 and 1, and where a cell would keep nothing.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"The threshold of a gate is {threshold}: choose it between 0 and 1.")
    by_name = top_edges_per_node(space, gates, keep, name=name)

    def cell(key: str, found: Cell) -> Cell:
        choice, rows = space[key], np.asarray(gates[key])
        gate = lambda s, t, op: rows[
            (e := choice.edges.index((s, t))), choice.candidates[e].index(op)
        ]
        open_ = [edge for edge in found.edges if gate(*edge) >= threshold]
        if not open_:
            raise ValueError(
                f"No gate of {key!r} reaches {threshold}, the largest is {rows.max():.3g}: "
                "search longer or lower the threshold."
            )
        edges = []
        for node in found.concat:
            of_node = [edge for edge in open_ if edge[1] == node]
            edges += of_node or [(0, node, NONE)]
        filled = tuple(n for n in found.concat if any(edge[1] == n for edge in open_))
        return found._replace(edges=tuple(edges), concat=filled)

    return by_name._replace(cells={key: cell(key, c) for key, c in by_name.cells.items()})


def strongest_path(
    space: Space, gates: Gates, widths: Sequence[int], *, name: str = "hypercuboid"
) -> Genotype:
    """The path through a grid of widths whose gates have the largest product.

    It ends at the last width; from a width to the next it takes the strongest candidate that is
    not `none`. An operation is written `op:from-to`, with the widths in channels. sharpDARTS
    takes the longest path through its grid, too, https://arxiv.org/abs/1903.09900; that lengths
    are logarithms of gates is ours. Raises ValueError for gates that do not fit the space or are
    not finite, and where no gate of a layer is positive.
    """
    _each(space, gates, name, lambda choice, rows: None)
    rows = []
    for key, ways in zip(space, spaces.transitions(space, widths), strict=True):
        taken = np.asarray(gates[key], float).reshape(-1)[list(ways.values())]
        with np.errstate(divide="ignore"):
            rows.append(dict(zip(ways, np.log(np.maximum(taken, 0.0)), strict=True)))
    return _connected(rows, name)


def connected(space: Space, gates: Gates, *, name: str = "hypercuboid") -> Genotype:
    """The path of a chain of `choices.as_chain` whose gates have the largest sum.

    Every layer begins with the width that the one before it gave. Raises ValueError for gates that
    do not fit the space or are not finite.
    """
    _each(space, gates, name, lambda choice, rows: None)
    rows = {
        edge: dict(zip(names, np.asarray(row, float), strict=True))
        for key, choice in space.items()
        for edge, names, row in zip(choice.edges, choice.candidates, gates[key], strict=True)
    }
    return _connected([rows[edge] for edge in sorted(rows)], name)


def _connected(rows: Sequence[Mapping[str, float]], name: str) -> Genotype:
    """The path of the largest sum, where rows say what each layer's steps are worth."""
    reached: dict[str, tuple[float, tuple]] = {}
    for layer, row in enumerate(rows):
        further: dict[str, tuple[float, tuple]] = {}
        for op, worth in row.items():
            before, _, after = op.partition(":")[2].partition("-")
            so_far, edges = reached.get(before, (-np.inf, ())) if layer else (0.0, ())
            if so_far + worth > further.get(after, (-np.inf,))[0]:
                further[after] = so_far + worth, (*edges, (layer, layer + 1, op))
        reached = further
    if not reached:
        raise ValueError("No path of positive gates leads through the grid.")
    _, edges = max(reached.values(), key=lambda each: each[0])
    return Genotype(name, {"grid": Cell(edges, 1, (len(edges),))})


def path_gates(space: Space, genotype: Genotype, widths: Sequence[int]) -> Gates:
    """Gates of 1 along a path that `strongest_path` found, of 0 beside it.

    Raises ValueError for a genotype of another grid.
    """
    cell = genotype.cells.get("grid")
    if cell is None or len(cell.edges) != len(space):
        raise ValueError(f"The genotype is no path through a grid of {len(space)} layers.")
    gates = {}
    for (key, choice), (_, _, op) in zip(space.items(), cell.edges, strict=True):
        gates[key] = np.array(
            [
                [float(op == f"{name}:{widths[i]}-{widths[j - len(widths)]}") for name in names]
                for (i, j), names in zip(choice.edges, choice.candidates, strict=True)
            ]
        )
        if gates[key].sum() != 1:
            raise ValueError(f"{key!r} has no candidate {op!r}: give a genotype of this grid.")
    return gates


def _best(names: tuple[str, ...], row: np.ndarray) -> tuple[float, str]:
    columns = [i for i, name in enumerate(names) if name not in (NONE, AUXILIARY_SKIP)]
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


def discrete_gates(space: Space, genotype: Genotype) -> Gates:
    """Gates of 1 for what a genotype selected, of 0 for all else, dropped edges included.

    Raises ValueError for a genotype of another space.
    """
    gates = {}
    for name, choice in space.items():
        if name not in genotype.cells:
            raise ValueError(f"The genotype has no cell {name!r}: give one of this space.")
        one_hot = [[0.0] * len(row) for row in choice.candidates]
        for source, target, op in genotype.cells[name].edges:
            if (source, target) not in choice.edges:
                raise ValueError(
                    f"The space has no edge {source} to {target} in {name!r}: give a genotype of "
                    "this space."
                )
            row = choice.edges.index((source, target))
            if op not in choice.candidates[row]:
                raise ValueError(
                    f"Edge {source} to {target} of {name!r} has no candidate {op!r}: give a "
                    "genotype of this space."
                )
            one_hot[row][choice.candidates[row].index(op)] = 1.0
        gates[name] = jnp.array(one_hot)
    return gates
