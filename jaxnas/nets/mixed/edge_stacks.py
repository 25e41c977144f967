"""The rows of a supernet's stacked weights, by edge."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import NONE, Choice, Space, Weights

# Submodules of a cell, whose weights are stacks: all edges, or in a cell that reduces those
# between nodes; and those that leave its inputs.
EDGES, EDGES_FROM_INPUTS = "edges", "edges_from_inputs"
# Submodule of NAS-Bench-201's stages: their weights have the cell as first axis.
CELLS = "cells"


class EdgeLoop(NamedTuple):
    """The edges of a choice that one loop covers, in the order of the loop (static)."""

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    columns: tuple[tuple[str, tuple[int, ...]], ...]  # candidate -> its gate's column, -1: absent
    edges: tuple[int, ...]  # row of the gates


class EdgeStack(NamedTuple):
    """The stacked weights of one loop in those of a supernet."""

    path: tuple[str, ...]
    choice: str
    loop: EdgeLoop
    axis: int  # of the rows


def edge_loop(choice: Choice, edges: tuple[int, ...]) -> EdgeLoop:
    """The loop over `edges` (rows of the choice), by source."""
    order = tuple(sorted(edges, key=lambda e: choice.edges[e]))
    names = dict.fromkeys(n for e in order for n in choice.candidates[e] if n != NONE)
    column = lambda e, n: choice.candidates[e].index(n) if n in choice.candidates[e] else -1
    return EdgeLoop(
        tuple(choice.edges[e][0] for e in order),
        tuple(choice.edges[e][1] for e in order),
        tuple((n, tuple(column(e, n) for e in order)) for n in names),
        order,
    )


def loops_of_cell(choice: Choice, reduces: bool) -> dict[str, EdgeLoop]:
    """The loops of a search cell by the names of its submodules."""
    edges = tuple(range(len(choice.edges)))
    if not reduces:
        return {EDGES: edge_loop(choice, edges)}
    # The nodes before the first that an edge enters are the inputs of the cell.
    inputs = min(target for _, target in choice.edges)
    from_inputs = tuple(e for e in edges if choice.edges[e][0] < inputs)
    between = tuple(e for e in edges if choice.edges[e][0] >= inputs)
    rows = {EDGES_FROM_INPUTS: from_inputs, EDGES: between}
    return {name: edge_loop(choice, edges) for name, edges in rows.items() if edges}


def find(space: Space, *trees: Mapping[str, Any]) -> list[EdgeStack]:
    """The stacks of a supernet of `darts` or `nasbench201`, from its weights or statistics."""
    cells = dict.fromkeys(path for tree in trees for path in _cell_paths(tree, ()))
    stacks = []
    for cell in cells:
        axis = 1 if cell[-1] == CELLS else 0
        reduces = any(EDGES_FROM_INPUTS in subtree(tree, cell) for tree in trees)
        kind = "cell" if axis else "reduce" if reduces else "normal"
        loops = loops_of_cell(space[kind], reduces)
        stacks += [EdgeStack((*cell, name), kind, loop, axis) for name, loop in loops.items()]
    return stacks


def row_of_edge(loop: EdgeLoop, op: str, edge: int, has_weights: bool) -> int | None:
    """The row of an edge in the stack of `op`; None where the edge has no such candidate.

    A stack has a row for each edge that has the candidate; without weights, for each source.
    """
    position = loop.edges.index(edge)
    columns = dict(loop.columns)[op]
    if columns[position] < 0:
        return None
    if has_weights:
        return sum(column >= 0 for column in columns[:position])
    return list(dict.fromkeys(loop.sources)).index(loop.sources[position])


def edge_mask(space: Space, weights: Weights, name: str, edge: int) -> Weights:
    """1 at the weights of the candidates of one edge of the choice `name`, else 0.

    In all cells of that choice; a tree that broadcasts to the weights.
    """
    masks = jax.tree.map(lambda leaf: jnp.zeros((1,) * leaf.ndim, leaf.dtype), weights)
    for stack in find(space, weights):
        if stack.choice != name or edge not in stack.loop.edges:
            continue
        for op, leaves in subtree(weights, stack.path).items():
            row = row_of_edge(stack.loop, op, edge, has_weights=True)
            mask = lambda leaf, row=row, axis=stack.axis: _row_mask(leaf, row, axis)
            masks = replace_leaf(masks, (*stack.path, op), jax.tree.map(mask, leaves))
    return masks


def replace_leaf(tree: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """`tree` with `value` at `path`."""
    first, *rest = path
    return {**tree, first: replace_leaf(tree[first], tuple(rest), value) if rest else value}


def subtree(tree: Any, path: tuple[str, ...]) -> Mapping[str, Any]:
    """The subtree at `path`; an empty mapping if there is none."""
    for name in path:
        tree = tree.get(name, {})
    return tree


def _row_mask(leaf: jax.Array, row: int | None, axis: int) -> jax.Array:
    mask = np.zeros([n if i == axis else 1 for i, n in enumerate(leaf.shape)])
    if row is not None:
        mask[(slice(None),) * axis + (row,)] = 1
    return jnp.asarray(mask, leaf.dtype)


def _cell_paths(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of all modules with loops over edges."""
    if not isinstance(tree, Mapping):
        return
    if EDGES in tree or EDGES_FROM_INPUTS in tree:
        yield path
        return
    for name, part in tree.items():
        yield from _cell_paths(part, (*path, name))
