"""Groups of channels that are pruned together, and the pruned weights.

Pruned channels are first masked by zeros in the network of the old shape, which is equivalent to
the network without them: one compiled program serves all widths.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Network, Stats, Weights

ChannelMasks = Mapping[str, np.ndarray]  # bool[channels] a group: the channels that remain
# Two convolutions that make the first and the second half of the channels: FactorizedReduce.
HALVES: Mapping[str, Literal[0, 1]] = {"even": 0, "odd": 1}
FACTORS = 2, 3, 5, 7  # of widths, to detect the axes that grow
_NOT_ALONE = "Channels of {} do not go one by one with those of {}: this network is not narrowed."


class ChannelSlice(NamedTuple):
    """The place of a group's channels: along an axis of all leaves below a path.

    They are repeated there `repeats` times (a concatenation), or one half of them is there.
    """

    path: tuple[str, ...]
    axis: int
    repeats: int = 1
    half: Literal[0, 1] | None = None


class ChannelGroup(NamedTuple):
    """Channels that are pruned together, as they are added.

    `filters` are the kernels that output them (their norms rank channels). If two convolutions
    output a half each, equally many channels remain in both.
    """

    width: int
    filters: tuple[ChannelSlice, ...]
    slices: tuple[ChannelSlice, ...]

    @property
    def halved(self) -> bool:
        return any(part.half is not None for part in self.slices)


class PrunableNetwork(NamedTuple):
    """A network with its groups of channels.

    `remaining(masks)` describes the pruned network, None if it is impossible;
    `network(remaining)` is the network of a description.
    """

    net: Network
    groups: Mapping[str, ChannelGroup]
    remaining: Callable[[ChannelMasks], Any | None]
    network: Callable[[Any], Network]


def groups_by_shape(
    shapes: Callable[[Mapping[str, int]], tuple[Any, Any]], widths: Mapping[str, int]
) -> dict[str, ChannelGroup]:
    """The groups of a network whose widths have names, from the shapes of its leaves.

    `shapes(widths)` are (weights, statistics) of a network. A group is on each axis that grows with
    its width. Raises ValueError if an axis grows otherwise: then channels cannot be pruned one by
    one.
    """
    before = _shapes(shapes(widths))
    groups = {}
    for name, width in widths.items():
        # Widths that are equal by chance may remove operations: try others.
        for factor in FACTORS:
            after = _shapes(shapes({**widths, name: factor * width}))
            if set(after) == set(before):
                break
        else:
            raise ValueError(f"With other widths of {name} the network has other weights.")
        slices, filters = [], []
        for path, shape in before.items():
            for axis, (old, new) in enumerate(zip(shape, after[path], strict=True)):
                if old == new:
                    continue
                if new != factor * old:
                    raise ValueError(_NOT_ALONE.format("/".join(path), name))
                part = _slice(name, path, axis, old, width)
                slices.append(part)
                is_filter = path[-1] == "kernel" and len(shape) in (2, 4) and axis == len(shape) - 1
                filters += [part] if is_filter and part.repeats == 1 else []
        groups[name] = ChannelGroup(width, tuple(filters), tuple(slices))
    return groups


def _slice(name: str, path: tuple[str, ...], axis: int, size: int, width: int) -> ChannelSlice:
    if size % width == 0:
        return ChannelSlice(path, axis, size // width)
    half = next((HALVES[module] for module in path if module in HALVES), None)
    if 2 * size == width and half is not None:
        return ChannelSlice(path, axis, half=half)
    raise ValueError(_NOT_ALONE.format("/".join(path), name))


def all_channels(groups: Mapping[str, ChannelGroup]) -> dict[str, np.ndarray]:
    """The masks of an unpruned network."""
    return {name: np.ones(group.width, bool) for name, group in groups.items()}


def largest_filters(
    group: ChannelGroup, mask: np.ndarray, weights: Weights, width: int
) -> np.ndarray | None:
    """bool[channels]: the `width` channels of the mask whose filters have the largest L2 norms.

    NetAdapt, https://arxiv.org/abs/1804.03230. Ties go to the first. None for an odd width of
    channels that come in halves.
    """
    squares = np.zeros(group.width)
    for part in group.filters:
        kernel = np.asarray(leaf_at(weights, part.path), np.float64)
        norms = np.square(kernel).reshape(-1, kernel.shape[-1]).sum(0)
        middle = group.width // 2
        channels = {None: slice(None), 0: slice(None, middle), 1: slice(middle, None)}[part.half]
        squares[channels] += norms
    ranks = np.where(mask, -squares, np.inf)
    if not group.halved:
        return _first(ranks, width)
    if width % 2:
        return None
    return np.concatenate([_first(half, width // 2) for half in np.split(ranks, 2)])


def _first(ranks: np.ndarray, count: int) -> np.ndarray:
    chosen = np.zeros(len(ranks), bool)
    chosen[np.argsort(ranks, kind="stable")[:count]] = True
    return chosen


def weight_masks(
    groups: Mapping[str, ChannelGroup], masks: ChannelMasks, weights: Weights
) -> Weights:
    """1 at the remaining weights, else 0; in the shapes of `weights`."""

    def of_leaf(path, leaf):
        mask = np.ones(leaf.shape, np.float32)
        for name, part in groups_of_leaf(groups, _names(path)):
            shape = [1] * leaf.ndim
            shape[part.axis] = -1
            mask = mask * _along_axis(masks[name], part).reshape(shape)
        return jnp.asarray(mask, leaf.dtype)

    return jax.tree_util.tree_map_with_path(of_leaf, weights)


def cut(
    groups: Mapping[str, ChannelGroup], masks: ChannelMasks, weights: Weights, stats: Stats
) -> tuple[Weights, Stats]:
    """The weights and statistics of the network without the pruned channels."""

    def of_leaf(path, leaf):
        # On the host: every shape would be a separate program.
        remaining = np.asarray(leaf)
        for name, part in groups_of_leaf(groups, _names(path)):
            remaining = np.compress(_along_axis(masks[name], part), remaining, axis=part.axis)
        return jnp.asarray(remaining)

    return tuple(jax.tree_util.tree_map_with_path(of_leaf, tree) for tree in (weights, stats))


def _along_axis(mask: np.ndarray, part: ChannelSlice) -> np.ndarray:
    return np.tile(mask, part.repeats) if part.half is None else np.split(mask, 2)[part.half]


def groups_of_leaf(
    groups: Mapping[str, ChannelGroup], path: tuple[str, ...]
) -> list[tuple[str, ChannelSlice]]:
    """The groups with channels in a leaf, and their slices."""
    return [
        (name, part)
        for name, group in groups.items()
        for part in group.slices
        if path[: len(part.path)] == part.path
    ]


def _shapes(trees: tuple[Any, Any]) -> dict[tuple[str, ...], tuple[int, ...]]:
    leaves = itertools.chain.from_iterable(map(jax.tree_util.tree_leaves_with_path, trees))
    return {_names(path): leaf.shape for path, leaf in leaves}


def _names(path) -> tuple[str, ...]:
    return tuple(key.key for key in path)


def leaf_at(tree: Any, path: tuple[str, ...]) -> Any:
    """The leaf, or subtree, at a path."""
    for name in path:
        tree = tree[name]
    return tree
