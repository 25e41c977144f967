"""Which edges of a cell carry data from its inputs to its output, and the longest path.

An edge is dead if its operation is `none`, if no data enter its source, or if its target does not
reach the output. Removing edges of the first and the last kind changes no result. Edges of the
second kind have operations of zero images, whose normalisation adds a constant to every pixel:
networks are therefore trained without their dead edges, or removal would change their output.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import NONE, Choice, Space
from jaxnas.spaces.genotype import Cell, Genotype

NOISE = "noise"  # an operation that needs no input
Array = Any  # of numpy or of jax.numpy


class CellGraph(NamedTuple):
    """Nodes and edges of a cell; every edge runs from a lower to a higher node."""

    edges: tuple[tuple[int, int], ...]  # (source, target), ordered by target
    nodes: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def of_choice(choice: Choice) -> CellGraph:
    """The graph of a choice's edges.

    Nodes that no edge enters are inputs. With one input the output is the last node
    (NAS-Bench-201), with more the concatenation of all other nodes (DARTS).
    """
    targets = {t for _, t in choice.edges}
    nodes = max(targets) + 1
    inputs = tuple(v for v in range(nodes) if v not in targets)
    outputs = (nodes - 1,) if len(inputs) == 1 else tuple(sorted(targets))
    return CellGraph(choice.edges, nodes, inputs, outputs)


def reached(graph: CellGraph, present: Array, xp: ModuleType = np, sources: Any = None) -> Array:
    """bool[N, edges]: edges whose source is reached from the inputs over the edges `present`.

    `sources`, bool[N, edges]: edges whose operation needs no input.
    """
    filled = [xp.zeros(len(present), bool)] * graph.nodes
    for node in graph.inputs:
        filled[node] = xp.ones(len(present), bool)
    for e, (source, target) in enumerate(graph.edges):
        enters = filled[source] if sources is None else filled[source] | sources[:, e]
        filled[target] = filled[target] | (enters & present[:, e])
    return xp.stack([filled[source] for source, _ in graph.edges], 1)


def reaching(graph: CellGraph, present: Array, xp: ModuleType = np) -> Array:
    """bool[N, edges]: edges whose target reaches an output over the edges `present`."""
    needed = [xp.zeros(len(present), bool)] * graph.nodes
    for node in graph.outputs:
        needed[node] = xp.ones(len(present), bool)
    for e, (source, target) in reversed(list(enumerate(graph.edges))):
        needed[source] = needed[source] | (needed[target] & present[:, e])
    return xp.stack([needed[target] for _, target in graph.edges], 1)


def live_edges(graph: CellGraph, present: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """bool[N, edges]: the edges that are not dead."""
    filled = reached(graph, present, sources=sources) | sources
    return present & filled & reaching(graph, present)


def summands(graph: CellGraph, mask: Array) -> list[Array]:
    """The number of edges in the mask that enter each node, i[N] a node."""
    targets = np.array([target for _, target in graph.edges])
    return [mask[:, targets == node].sum(1) for node in range(graph.nodes)]


def longest_path(
    graph: CellGraph, live: Array, lengths: Array, addition: np.ndarray, xp: ModuleType = np
) -> list[Array]:
    """The length of the longest path over live edges to each node, f[N, weighings] a node.

    `lengths` f[N, edges, weighings] of edges; a node adds `addition` f[weighings] for every
    summand after its first. A node that no live edge enters has length 0.
    """
    distances = [xp.zeros((len(live), lengths.shape[2]), lengths.dtype)] * graph.nodes
    entering = summands(graph, live)
    for node in range(graph.nodes):
        for e, (source, target) in enumerate(graph.edges):
            if target == node:
                via = xp.where(live[:, e, None], distances[source] + lengths[:, e], 0.0)
                distances[node] = xp.maximum(distances[node], via)
        additions = xp.maximum(entering[node] - 1, 0).astype(lengths.dtype)
        distances[node] = distances[node] + additions[:, None] * addition
    return distances


def remove_dead_edges(genotype: Genotype) -> Genotype:
    """The genotype with `none` on every dead edge; the edges and their order are unchanged."""
    return genotype._replace(
        cells={name: _without_dead_edges(cell) for name, cell in genotype.cells.items()}
    )


def is_connected(genotype: Genotype) -> bool:
    """Whether data from the inputs (or noise) reach the output of every cell."""
    return all(
        any(op != NONE and target in cell.concat for _, target, op in cell.edges)
        for cell in remove_dead_edges(genotype).cells.values()
    )


def connected(space: Space, networks: np.ndarray) -> np.ndarray:
    """bool[N]: whether data from the inputs (or noise) reach the output of every cell.

    networks: i64[N, positions] as `genome.encode` makes them; -1: the edge is absent.
    """
    networks, start = np.asarray(networks), 0
    all_connected = np.ones(len(networks), bool)
    for choice in space.values():
        codes = networks[:, start : start + len(choice.edges)]
        start += len(choice.edges)
        if not any(NONE in row for row in choice.candidates):
            continue
        is_op = lambda name, codes=codes, choice=choice: np.stack(
            [
                codes[:, e] == (row.index(name) if name in row else -2)
                for e, row in enumerate(choice.candidates)
            ],
            1,
        )
        graph = of_choice(choice)
        live = live_edges(graph, ~is_op(NONE) & (codes >= 0), is_op(NOISE))
        enters_output = np.array([target in graph.outputs for _, target in choice.edges])
        all_connected &= (live & enters_output).any(1)
    return all_connected


def dead_outputs(genotype: Genotype) -> dict[str, list[int]]:
    """Cell -> the nodes of its output that no data reach; cells without such nodes are left out."""
    dead = {}
    for name, cell in remove_dead_edges(genotype).cells.items():
        filled = {target for _, target, op in cell.edges if op != NONE}
        if nodes := [node for node in cell.concat if node not in filled]:
            dead[name] = nodes
    return dead


def _without_dead_edges(cell: Cell) -> Cell:
    order = sorted(range(len(cell.edges)), key=lambda e: cell.edges[e][1])
    edges = [cell.edges[e] for e in order]
    nodes = max((target for _, target, _ in edges), default=cell.inputs - 1) + 1
    graph = CellGraph(
        tuple((s, t) for s, t, _ in edges), nodes, tuple(range(cell.inputs)), cell.concat
    )
    present = np.array([[op != NONE for _, _, op in edges]])
    sources = np.array([[op == NOISE for _, _, op in edges]])
    live = dict(zip(order, live_edges(graph, present, sources)[0], strict=True))
    return cell._replace(
        edges=tuple((s, t, op if live[e] else NONE) for e, (s, t, op) in enumerate(cell.edges))
    )


def isomorph(genotype: Genotype, space: Space | None = None) -> Genotype | None:
    """An isomorphic genotype, of the same function; None if no swap of two nodes gives one.

    Swaps two neighbouring nodes without an operation between them. In NAS-Bench-201: nodes 1 and 2
    if the edge between them is `none`. With `space`, the isomorph is one of its networks too.
    """
    for name, cell in genotype.cells.items():
        nodes = sorted({target for _, target, _ in cell.edges})
        for node in nodes[:-1]:
            swapped = _swapped(cell, node)
            if swapped is None or sorted(swapped.edges) == sorted(cell.edges):
                continue
            other = genotype._replace(cells=dict(genotype.cells) | {name: swapped})
            if space is None or _within(other, space):
                return other
    return None


def _swapped(cell: Cell, node: int) -> Cell | None:
    after = node + 1
    if (node in cell.concat) != (after in cell.concat):
        return None
    if any(op != NONE and {s, t} == {node, after} for s, t, op in cell.edges):
        return None
    renamed = {node: after, after: node}
    edges = [
        (s, t, op) if {s, t} == {node, after} else (renamed.get(s, s), renamed.get(t, t), op)
        for s, t, op in cell.edges
    ]
    # In the order in which the space lists its edges, as the genotype did.
    return cell._replace(edges=tuple(sorted(edges, key=lambda edge: (edge[1], edge[0]))))


def _within(genotype: Genotype, space: Space) -> bool:
    for name, cell in genotype.cells.items():
        choice = space.get(name)
        if choice is None:
            return False
        allowed = dict(zip(choice.edges, choice.candidates, strict=True))
        if any(op not in allowed.get((s, t), ()) for s, t, op in cell.edges):
            return False
    return True
