"""Discretisation: gates -> genotype."""

from collections.abc import Callable, Sequence

import numpy as np

from jaxnas.core.types import AUXILIARY_SKIP, NONE, Choice, Gates, Space
from jaxnas.spaces import dataflow, genome
from jaxnas.spaces.genotype import Cell, Genotype


def top_edges_per_node(space: Space, gates: Gates, keep: int = 2, *, name: str) -> Genotype:
    """`top_edges` of every choice, as a genotype of the space `name`.

    DARTS, section 2.4; quark0/darts cnn/model_search.py. Raises ValueError for gates of another
    shape, gates that are not finite, and as `top_edges`.
    """
    return per_choice(space, gates, name, lambda choice, rows: top_edges(choice, rows, keep))


def top_edges(choice: Choice, gates: np.ndarray, keep: int = 2) -> Cell:
    """The cell whose nodes keep their `keep` strongest edges, each with its strongest candidate.

    The strength of an edge is its largest gate, without those of `none` and an auxiliary skip.
    Ties go to the lower source, then to the candidate listed first. Edges of a node are
    written strongest first; the output is all nodes, concatenated. Raises ValueError for an edge
    whose only candidate is `none`, and for a `keep` below one or above the number of edges that
    enter some node.
    """
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


def argmax_per_edge(space: Space, gates: Gates, *, name: str) -> Genotype:
    """Every edge keeps its strongest candidate, `none` as well; the last node is the output.

    An auxiliary skip is never kept. Ties go to the candidate listed first. NAS-Bench-201,
    https://arxiv.org/abs/2001.00326. Raises ValueError for gates of another shape and gates that
    are not finite.
    """

    def cell(choice: Choice, gates: np.ndarray) -> Cell:
        is_auxiliary = np.array([[op == AUXILIARY_SKIP for op in row] for row in choice.candidates])
        strongest = np.argmax(np.where(is_auxiliary, -np.inf, gates), axis=1)
        edges = tuple(
            (source, target, names[best])
            for (source, target), names, best in zip(
                choice.edges, choice.candidates, strongest, strict=True
            )
        )
        targets = {target for _, target in choice.edges}
        return Cell(edges, min(targets), (max(targets),))

    return per_choice(space, gates, name, cell)


def connected(select: Callable[[Space, Gates], Genotype], space: Space, gates: Gates) -> Genotype:
    """`select(space, gates)`, or if that lets no image through, the likeliest network that does.

    Likeliest by the product of the gates that it keeps; those that are not positive count as
    almost 0. Ties go to the candidates listed first. In a space too large to enumerate what is
    selected stays, and so it does where no network is connected. Ours: NAS-Bench-201's code trains
    the strongest in any case. Raises as `select`.
    """
    selected = select(space, gates)
    if dataflow.is_connected(selected) or not genome.is_enumerable(space):
        return selected
    rows = [
        np.where(np.array(names) == AUXILIARY_SKIP, 0.0, np.asarray(gates[key])[row])
        for key, row, _, names in genome.positions(space)
    ]
    logs = [np.log(np.maximum(row, np.finfo(np.float32).tiny)) for row in rows]
    best, found = -np.inf, None
    for networks in genome.enumerate_all(space):
        scores = sum(log[networks[:, i]] for i, log in enumerate(logs))
        scores = np.where(dataflow.connected(space, networks), scores, -np.inf)
        if scores.max() > best:
            best, found = scores.max(), networks[scores.argmax()]
    return selected if found is None else select(space, genome.one_hot(space, found))


def above_threshold(
    space: Space, gates: Gates, threshold: float = 0.85, keep: int = 2, *, name: str
) -> Genotype:
    """Each node keeps those of its `keep` strongest edges whose largest gate is >= `threshold`.

    A node may keep fewer edges; one that keeps none has a single edge of `none` and is excluded
    from the cell's output. Else as `top_edges_per_node`.
    FairDARTS, section 4, https://arxiv.org/abs/1911.12126, as the method `threshold_sparse` of
    xiaomi-automl/FairDARTS fairdarts/utils.py. Raises ValueError as `top_edges_per_node`, for a
    threshold not between 0 and 1, and where a cell would keep nothing.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"The threshold of a gate is {threshold}: choose it between 0 and 1.")
    unthresholded = top_edges_per_node(space, gates, keep, name=name)

    def thresholded(key: str, cell: Cell) -> Cell:
        choice, rows = space[key], np.asarray(gates[key])
        gate = lambda s, t, op: rows[
            (e := choice.edges.index((s, t))), choice.candidates[e].index(op)
        ]
        strong_edges = [edge for edge in cell.edges if gate(*edge) >= threshold]
        if not strong_edges:
            raise ValueError(
                f"No gate of {key!r} reaches {threshold}, the largest is {rows.max():.3g}: "
                "search longer or lower the threshold."
            )
        edges = []
        for node in cell.concat:
            of_node = [edge for edge in strong_edges if edge[1] == node]
            edges += of_node or [(0, node, NONE)]
        nonempty = tuple(n for n in cell.concat if any(edge[1] == n for edge in strong_edges))
        return cell._replace(edges=tuple(edges), concat=nonempty)

    cells = {key: thresholded(key, cell) for key, cell in unthresholded.cells.items()}
    return unthresholded._replace(cells=cells)


def best_path(scores: Sequence[np.ndarray], steps: Sequence[np.ndarray]) -> tuple[float, list[int]]:
    """The maximum score of a path through layers, and its candidates (Viterbi).

    `scores[i]` f[candidates of layer i]; `steps[i]` f[candidates of layer i, of layer i + 1] are
    transition scores, -inf for impossible transitions. Ties go to the candidate listed first.
    """
    best, predecessors = np.asarray(scores[0], float), []
    for score, step in zip(scores[1:], steps, strict=True):
        total = best[:, None] + score + step
        predecessors.append(total.argmax(0))
        best = total.max(0)
    path = [int(best.argmax())]
    for step_predecessors in reversed(predecessors):
        path.append(int(step_predecessors[path[-1]]))
    return float(best.max()), path[::-1]


def _best(names: tuple[str, ...], row: np.ndarray) -> tuple[float, str]:
    columns = [i for i, name in enumerate(names) if name not in (NONE, AUXILIARY_SKIP)]
    if not columns:
        raise ValueError(f"An edge whose only candidate is {NONE!r} can keep nothing.")
    best = max(columns, key=lambda i: row[i])
    return row[best], names[best]


def per_choice(
    space: Space, gates: Gates, name: str, cell: Callable[[Choice, np.ndarray], Cell]
) -> Genotype:
    """The genotype of `cell(choice, gates)` of each choice, gates f[edges, candidates].

    Raises ValueError for gates of another shape and gates that are not finite.
    """
    cells = {}
    for key, choice in space.items():
        if key not in gates or np.shape(gates[key]) != choice.shape:
            shape = np.shape(gates[key]) if key in gates else "missing"
            raise ValueError(f"The gates of {key!r} are {shape}, expected {choice.shape}.")
        rows = np.asarray(gates[key])
        if not np.isfinite(rows).all():
            raise ValueError(f"Some gates of {key!r} are not finite: there is nothing to select.")
        cells[key] = cell(choice, rows)
    return Genotype(name, cells)
