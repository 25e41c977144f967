"""A supernet that goes on with fewer candidates and more channels: Net2Wider.

Chen, Goodfellow and Shlens 2016, https://arxiv.org/abs/1511.05641, as DrNAS takes it from C/6 to
C/4 channels, https://arxiv.org/abs/2006.10355, xiangning-chen/DrNAS DARTS-space/net2wider.py.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Space, Stats, Weights
from jaxnas.nets import edge_stacks

Trees = tuple[Weights, Stats]


def widen(old_space: Space, new_space: Space, old: Trees, new: Trees, seed: int) -> Trees:
    """(weights, statistics) of the new supernet with the old one's values.

    `new` says the shapes and is made anew; the spaces have the same edges, the new one some of
    the old one's candidates. Outside the mixed edges both have the same shapes. A channel that is
    added copies one drawn at random, and every weight that reads a channel is divided by how
    often it now stands: an op that is given copied channels gives copied channels (DrNAS's code,
    from memory, does not divide; a normalisation follows). Channels are drawn for each op once,
    alike on all edges and in all cells of as many channels. Raises ValueError where there would
    be fewer channels.
    """
    before = {loop.path: loop for loop in edge_stacks.loops(old_space, *old)}
    made = list(old)
    for loop in edge_stacks.loops(new_space, *new):
        names = dict.fromkeys(name for tree in new for name in _at(tree, loop.path))
        trees = [_at(tree, loop.path) for tree in old]
        rows = [
            {op: _rows(before[loop.path], loop, op, tree[op], new[0]) for op in names if op in tree}
            for tree in trees
        ]
        wide = [_at(tree, loop.path) for tree in new]
        ops = {op: _op(op, rows, wide, loop.axis + 1, seed) for op in names}
        for n, tree in enumerate(trees):
            if tree:
                kept = {op: found[n] for op, found in ops.items() if op in wide[n]}
                made[n] = edge_stacks.replace_leaf(made[n], loop.path, kept)
    return tuple(_same(found, target) for found, target in zip(made, new, strict=True))


def _rows(
    old: edge_stacks.Loop, new: edge_stacks.Loop, op: str, tree: Any, weights: Weights
) -> Any:
    """Of a stack the rows of the edges that still have the candidate."""
    if op not in _at(weights, new.path):
        return tree  # without weights a row is a source's, and the sources are the same
    edges = [e for e, c in zip(new.plan.edges, dict(new.plan.columns)[op], strict=True) if c >= 0]
    rows = np.array(
        [edge_stacks.row_of_edge(old.plan, op, edge, has_weights=True) for edge in edges]
    )
    return jax.tree.map(lambda leaf: jnp.take(leaf, rows, axis=new.axis), tree)


def _op(op: str, old: list[Any], new: list[Any], lead: int, seed: int) -> list[Any]:
    """Its stacks, of weights and of statistics, with more channels; `lead` axes come first."""
    halves = "even" in old[0].get(op, {})

    index = functools.partial(_places, op, seed)

    def widen(path, leaf: jax.Array, shape: jax.Array) -> jax.Array:
        names = [part.key for part in path]
        for axis in range(lead, leaf.ndim):
            few, many = leaf.shape[axis], shape.shape[axis]
            if few == many:
                continue
            places = index(few, many)
            if halves and "norm" in names:
                # A factorised reduction normalises its two halves, one after the other.
                even = index(few // 2, many // 2)
                places = np.append(even, few // 2 + index(few - few // 2, many - many // 2))
            leaf = jnp.take(leaf, places, axis=axis)
            if axis == leaf.ndim - 2 and names[-1] == "kernel":
                often = np.bincount(places, minlength=few)[places]
                leaf = leaf / often[:, None].astype(leaf.dtype)
        return leaf

    return [
        jax.tree_util.tree_map_with_path(widen, a.get(op, {}), b.get(op, {}))
        for a, b in zip(old, new, strict=True)
    ]


def _places(op: str, seed: int, few: int, many: int) -> np.ndarray:
    """Which of `few` channels each of `many` is a copy of, the first ones of themselves."""
    if many < few:
        raise ValueError(f"A supernet of {few} channels is not widened to {many}: choose more.")
    rng = np.random.default_rng((seed, few, many, *op.encode()))
    return np.append(np.arange(few), rng.integers(0, few, many - few))


def _at(tree: Any, path: tuple[str, ...]) -> Mapping[str, Any]:
    for name in path:
        tree = tree.get(name, {})
    return tree


def _same(made: Any, target: Any) -> Any:
    shapes = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)
    if shapes(made) != shapes(target):
        raise ValueError(
            "The two supernets differ by more than candidates and channels of their mixed edges: "
            "make both with the same features, cells, reductions and classes."
        )
    return made
