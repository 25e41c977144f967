"""Net2Wider: weights of a supernet with fewer candidates and more channels.

Chen, Goodfellow and Shlens 2016, https://arxiv.org/abs/1511.05641, as DrNAS takes it from C/6 to
C/4 channels, https://arxiv.org/abs/2006.10355, xiangning-chen/DrNAS DARTS-space/net2wider.py.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Space, Stats, Weights
from jaxnas.nets.mixed import edge_stacks

Trees = tuple[Weights, Stats]


def widen(old_space: Space, new_space: Space, old: Trees, new: Trees, seed: int) -> Trees:
    """(weights, statistics) of the new supernet with the old one's values.

    `new` are initial values, for their shapes; the spaces have the same edges, the new one some of
    the old one's candidates. Outside the mixed edges both have the same shapes. An added channel
    copies one drawn at random, and every weight that reads a channel is divided by the number of
    its copies: an op maps copied channels to copied channels (DrNAS's code, from memory, does not
    divide; a normalisation follows). Channels are drawn once for each op, the same on all edges and
    in all cells of equally many channels. Raises ValueError for fewer channels.
    """
    old_stacks = {stack.path: stack for stack in edge_stacks.find(old_space, *old)}
    widened = list(old)
    for stack in edge_stacks.find(new_space, *new):
        old_trees, new_trees = (
            [edge_stacks.subtree(tree, stack.path) for tree in pair] for pair in (old, new)
        )
        names = dict.fromkeys(name for tree in new_trees for name in tree)
        old_stack = old_stacks[stack.path]
        rows = [
            {op: _rows(old_stack, stack, op, tree[op], new[0]) for op in names if op in tree}
            for tree in old_trees
        ]
        ops = {op: _widen_op(op, rows, new_trees, stack.axis + 1, seed) for op in names}
        for n, tree in enumerate(old_trees):
            if tree:
                values = {op: trees[n] for op, trees in ops.items() if op in new_trees[n]}
                widened[n] = edge_stacks.replace_leaf(widened[n], stack.path, values)
    return tuple(_check_shapes(tree, target) for tree, target in zip(widened, new, strict=True))


def _rows(
    old: edge_stacks.EdgeStack, new: edge_stacks.EdgeStack, op: str, tree: Any, weights: Weights
) -> Any:
    """The rows of a stack whose edges still have the candidate."""
    if op not in edge_stacks.subtree(weights, new.path):
        return tree  # without weights a row is a source's, and the sources are the same
    columns = dict(new.loop.columns)[op]
    edges = [e for e, c in zip(new.loop.edges, columns, strict=True) if c >= 0]
    rows = np.array(
        [edge_stacks.row_of_edge(old.loop, op, edge, has_weights=True) for edge in edges]
    )
    return jax.tree.map(lambda leaf: jnp.take(leaf, rows, axis=new.axis), tree)


def _widen_op(op: str, old: list[Any], new: list[Any], leading_axes: int, seed: int) -> list[Any]:
    """Its stacks, of weights and of statistics, with more channels; `leading_axes` come first."""
    has_halves = "even" in old[0].get(op, {})

    index = functools.partial(_copied_channels, op, seed)

    def widen(path, leaf: jax.Array, target: jax.Array) -> jax.Array:
        names = [part.key for part in path]
        for axis in range(leading_axes, leaf.ndim):
            old_count, new_count = leaf.shape[axis], target.shape[axis]
            if old_count == new_count:
                continue
            channels = index(old_count, new_count)
            if has_halves and "norm" in names:
                # A factorised reduction normalises its two halves, one after the other.
                even = index(old_count // 2, new_count // 2)
                odd = old_count // 2 + index(old_count - old_count // 2, new_count - new_count // 2)
                channels = np.append(even, odd)
            leaf = jnp.take(leaf, channels, axis=axis)
            if axis == leaf.ndim - 2 and names[-1] == "kernel":
                copies = np.bincount(channels, minlength=old_count)[channels]
                leaf = leaf / copies[:, None].astype(leaf.dtype)
        return leaf

    return [
        jax.tree_util.tree_map_with_path(widen, a.get(op, {}), b.get(op, {}))
        for a, b in zip(old, new, strict=True)
    ]


def _copied_channels(op: str, seed: int, old_count: int, new_count: int) -> np.ndarray:
    """The old channel that each new one copies; the first ones copy themselves."""
    if new_count < old_count:
        raise ValueError(
            f"A supernet of {old_count} channels is not widened to {new_count}: choose more."
        )
    rng = np.random.default_rng((seed, old_count, new_count, *op.encode()))
    return np.append(np.arange(old_count), rng.integers(0, old_count, new_count - old_count))


def _check_shapes(tree: Any, target: Any) -> Any:
    shapes = lambda tree: jax.tree.map(lambda leaf: leaf.shape, tree)
    if shapes(tree) != shapes(target):
        raise ValueError(
            "The two supernets differ by more than candidates and channels of their mixed edges: "
            "make both with the same features, cells, reductions and classes."
        )
    return tree
