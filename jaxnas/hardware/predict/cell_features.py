"""What is regressed on in a space of cells: counts of the executed graph, edges, pairs of edges."""

import itertools
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from jaxnas.core.types import Choice, Space
from jaxnas.hardware.predict import graph_counts
from jaxnas.spaces import genome, op_names
from jaxnas.spaces.dataflow import CellGraph

Array = Any  # of numpy or of jax.numpy
SMALL = 2_000  # pair features of a choice: above, pairs of edges are left out
WAY = "way"  # the group of the path that durations of the device's own make the longest
COUNTS = (*graph_counts.FAMILIES, "shared", "path")
UNITS = (*COUNTS, WAY)  # groups whose features have units of their own
Ways = Mapping[str, Mapping[str, float]]  # group -> durations of its steps (`critical`)
ORDERS = 24  # ways of numbering the nodes: above, equal cells may differ at their edges


def features(
    space: Space, codes: Array, xp: ModuleType = np, ways: Ways | None = None
) -> dict[str, Array]:
    """Groups of features of networks i[N, positions], f[N, F] each, not centred.

    Those of `graph_counts.counts`, a choice each and summed over choices that share a vocabulary;
    `edge`: which candidate stands where; `pair`: which two stand where. Cells that differ in the
    numbering of their nodes alone have equal features.
    """
    groups: dict[str, list[Array]] = {}
    for name, value in _choices(space, codes, xp, ways or {}):
        groups.setdefault(name, []).append(value)
    found = {name: xp.concatenate(parts, 1) for name, parts in groups.items()}
    if len(space) > 1 and len({c.candidates[0] for c in space.values()}) == 1:
        tied = {name: sum(groups[name]) for name in (*COUNTS, *(ways or {}))}
        found |= {f"{name} in all": value for name, value in tied.items()}
    return found


def split(space: Space, codes: Array) -> list[Array]:
    """The codes i[N, positions] of every choice, i[N, edges]."""
    ends = np.cumsum([len(choice.edges) for choice in space.values()])
    return [codes[:, end - len(c.edges) : end] for c, end in zip(space.values(), ends, strict=True)]


def _choices(space: Space, codes: Array, xp: ModuleType, ways: Ways) -> Iterator[tuple[str, Array]]:
    """The features of every choice by their names; equal choices are one computation, as a
    compiler takes seconds for each."""
    parts = split(space, codes)
    alike: dict[Choice, list[int]] = {}
    for i, choice in enumerate(space.values()):
        alike.setdefault(choice, []).append(i)
    found = {}
    for choice, own in alike.items():
        every = _choice(choice, xp.concatenate([parts[i] for i in own]), xp, ways)
        for n, i in enumerate(own):
            rows = slice(n * len(codes), (n + 1) * len(codes))
            found[i] = {name: value[rows] for name, value in every.items()}
    for i in range(len(parts)):
        yield from found[i].items()


def _choice(choice: Choice, codes: Array, xp: ModuleType, ways: Ways) -> dict[str, Array]:
    tables = graph_counts.tables(choice)
    found = graph_counts.counts(tables, codes, xp, ways)
    nodes = _orders(choice, tables.graph)
    written = graph_counts.picked(tables.kinds, codes, xp) != op_names.ABSENT
    edges = pairs = total = 0
    small = len(choice.edges) * (len(choice.edges) - 1) // 2 * choice.shape[1] ** 2 <= SMALL
    for order in nodes:
        moved, possible = _renumbered(choice, codes, written, order, xp)
        open_ = (moved[:, :, None] == np.arange(choice.shape[1])).astype(np.float32)
        weight = possible.astype(np.float32)[:, None]
        edges = edges + weight * open_.reshape(len(codes), choice.shape[0] * choice.shape[1])
        if small:
            pairs = pairs + weight * _pairs(open_ - 1 / choice.shape[1], xp)
        total = total + weight
    found["edge"] = edges / total
    if small and len(choice.edges) > 1:
        found["pair"] = pairs / total
    return found


def _orders(choice: Choice, shape: CellGraph) -> list[tuple[int, ...]]:
    """Every numbering of the nodes that keeps inputs and a single output in their place."""
    last = shape.outputs if len(shape.outputs) == 1 else ()
    free = [v for v in range(shape.nodes) if v not in (*shape.inputs, *last)]
    equal = len(set(choice.candidates)) == 1
    orders = list(itertools.islice(itertools.permutations(free), ORDERS + 1))
    if not equal or len(orders) > ORDERS:
        orders = [tuple(free)]
    return [_whole(shape.nodes, dict(zip(free, order, strict=True))) for order in orders]


def _whole(nodes: int, moved: dict[int, int]) -> tuple[int, ...]:
    return tuple(moved.get(v, v) for v in range(nodes))


def _renumbered(choice, codes, written, order, xp) -> tuple[Array, Array]:
    """The codes after renumbering the nodes, and whether that leaves every edge forward."""
    index = {edge: e for e, edge in enumerate(choice.edges)}
    nothing = [
        next((o for o, n in enumerate(row) if op_names.kind(n) == op_names.ABSENT), -1)
        for row in choice.candidates
    ]
    columns = [xp.full(len(codes), nothing[e], codes.dtype) for e in range(len(choice.edges))]
    possible = xp.ones(len(codes), bool)
    for e, (source, target) in enumerate(choice.edges):
        place = index.get((order[source], order[target]))
        if place is None:
            possible = possible & ~written[:, e]
        else:
            columns[place] = codes[:, e]
    return xp.stack(columns, 1), possible


def _pairs(open_: Array, xp: ModuleType) -> Array:
    every = list(_couples(open_.shape[1]))
    left, right = (open_[:, [pair[i] for pair in every]] for i in range(2)) if every else ((), ())
    if not every:
        return xp.zeros((len(open_), 0), np.float32)
    return (left[:, :, :, None] * right[:, :, None, :]).reshape(len(open_), -1)


def _couples(edges: int) -> Iterator[tuple[int, int]]:
    return itertools.combinations(range(edges), 2)


def reference(space: Space) -> np.ndarray:
    """Networks over which features are centred and scaled, i[N, positions]."""
    if genome.is_enumerable(space) and np.prod(genome.cardinalities(space)) <= 20_000:
        return np.concatenate(list(genome.enumerate_all(space)))
    return genome.sample_uniform(space, 4096)
