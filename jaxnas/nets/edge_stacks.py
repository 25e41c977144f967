"""Which rows of a supernet's stacked weights belong to which edge."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Choice, Space, Weights
from jaxnas.nets import mixed_edges

STAGE = "cells"  # of NAS-Bench-201's stages, whose weights have the cell as first axis
LOOPS = ("edges", "edges_from_inputs")


class Loop(NamedTuple):
    """One loop over edges of a cell: where its stacks are, and in what order."""

    path: tuple[str, ...]
    kind: str  # the choice
    plan: mixed_edges.EdgeLoop
    axis: int  # of the rows


def loops(space: Space, *trees: Mapping[str, Any]) -> list[Loop]:
    """The loops of a supernet of `darts` or `nasbench201`, found in its weights or statistics."""
    cells = dict.fromkeys(path for tree in trees for path in _cells(tree, ()))
    found = []
    for cell in cells:
        axis = 1 if cell[-1] == STAGE else 0
        parts = {name for tree in trees for name in _at(tree, cell)}
        reduces = "edges_from_inputs" in parts
        kind = "cell" if axis else "reduce" if reduces else "normal"
        made = plans(space[kind], reduces)
        found += [Loop((*cell, name), kind, plan, axis) for name, plan in made.items()]
    return found


def plans(choice: Choice, reduces: bool) -> dict[str, mixed_edges.EdgeLoop]:
    """The loops of a search cell by the names of their stacks: see `supernet.Inside`."""
    every = tuple(range(len(choice.edges)))
    if not reduces:
        return {"edges": mixed_edges.edge_loop(choice, every)}
    # The nodes before the first that an edge enters are the inputs of the cell.
    inputs = min(target for _, target in choice.edges)
    outer = tuple(e for e in every if choice.edges[e][0] < inputs)
    inner = tuple(e for e in every if choice.edges[e][0] >= inputs)
    rows = {"edges_from_inputs": outer, "edges": inner}
    return {name: mixed_edges.edge_loop(choice, edges) for name, edges in rows.items() if edges}


def row_of_edge(plan: mixed_edges.EdgeLoop, op: str, edge: int, has_weights: bool) -> int | None:
    """The row of an edge in the stack of `op`; None where the edge has no such candidate.

    A stack has a row for each edge that has the candidate; without weights, for each source.
    """
    at = plan.edges.index(edge)
    columns = dict(plan.columns)[op]
    if columns[at] < 0:
        return None
    if has_weights:
        return sum(column >= 0 for column in columns[:at])
    return list(dict.fromkeys(plan.sources)).index(plan.sources[at])


def edge_mask(space: Space, weights: Weights, name: str, edge: int) -> Weights:
    """1 at the weights of the candidates of one edge of the choice `name`, else 0.

    In all cells of that kind; a tree that broadcasts to the weights.
    """
    marks = jax.tree.map(lambda leaf: jnp.zeros((1,) * leaf.ndim, leaf.dtype), weights)
    for loop in loops(space, weights):
        if loop.kind != name or edge not in loop.plan.edges:
            continue
        for op, stack in _at(weights, loop.path).items():
            at = row_of_edge(loop.plan, op, edge, has_weights=True)
            mark = lambda leaf, at=at, axis=loop.axis: _mark(leaf, at, axis)
            marks = replace_leaf(marks, (*loop.path, op), jax.tree.map(mark, stack))
    return marks


def replace_leaf(tree: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`tree` with another value at `path`."""
    first, *rest = path
    return {**tree, first: replace_leaf(tree[first], tuple(rest), value) if rest else value}


def _mark(leaf: jax.Array, at: int | None, axis: int) -> jax.Array:
    marks = np.zeros([n if i == axis else 1 for i, n in enumerate(leaf.shape)])
    if at is not None:
        marks[(slice(None),) * axis + (at,)] = 1
    return jnp.asarray(marks, leaf.dtype)


def _cells(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of everything that has loops."""
    if not isinstance(tree, Mapping):
        return
    if any(name in tree for name in LOOPS):
        yield path
        return
    for name, part in tree.items():
        yield from _cells(part, (*path, name))


def _at(tree: Any, path: tuple[str, ...]) -> Mapping[str, Any]:
    for name in path:
        tree = tree.get(name, {})
    return tree
