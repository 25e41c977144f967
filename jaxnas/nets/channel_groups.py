"""Narrower networks: which channels may go, the weights that go with them, what is left.

Channels that go are zeros first, in a network of the old shape, which computes what the network
without them does: one compiled program serves all widths.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Network, Stats, Weights

ChannelMasks = Mapping[str, np.ndarray]  # bool[channels] a part
# Two convolutions that make the first and the second half of the channels: FactorizedReduce.
HALVES: Mapping[str, Literal[0, 1]] = {"even": 0, "odd": 1}
TRIED = 2, 3, 5, 7
_NOT_ALONE = "Channels of {} do not go one by one with those of {}: this network is not narrowed."


class ChannelSlice(NamedTuple):
    """Where channels lie: along an axis of all leaves below a path.

    There they stand `times` one after the other (a concatenation), or one half of them does.
    """

    path: tuple[str, ...]
    axis: int
    times: int = 1
    half: Literal[0, 1] | None = None


class ChannelGroup(NamedTuple):
    """Channels that go together: all that an addition joins.

    `filters` are the kernels that make them (their norm ranks channels). Where halves are made
    apart as many channels stay in one as in the other.
    """

    width: int
    filters: tuple[ChannelSlice, ...]
    places: tuple[ChannelSlice, ...]

    @property
    def halved(self) -> bool:
        return any(place.half is not None for place in self.places)


class PrunableNetwork(NamedTuple):
    """A network that can be narrowed.

    `left(kept)` says what the channels that are kept leave, None where that cannot be;
    `network(left)` is the network of it.
    """

    net: Network
    parts: Mapping[str, ChannelGroup]
    left: Callable[[ChannelMasks], Any | None]
    network: Callable[[Any], Network]


def groups_by_shape(
    shapes: Callable[[Mapping[str, int]], tuple[Any, Any]], widths: Mapping[str, int]
) -> dict[str, ChannelGroup]:
    """The parts of a network whose widths are given by name, from the shapes of its leaves.

    `shapes(widths)` are (weights, statistics) of a network. A part lies wherever an axis grows as
    its width does. Raises ValueError where an axis grows otherwise: then channels do not go one by
    one.
    """
    before = _shapes(shapes(widths))
    found = {}
    for name, width in widths.items():
        # Widths that are equal by chance may have operations vanish: look for others.
        for times in TRIED:
            after = _shapes(shapes({**widths, name: times * width}))
            if set(after) == set(before):
                break
        else:
            raise ValueError(f"With other widths of {name} the network has other weights.")
        places, filters = [], []
        for path, shape in before.items():
            for axis, (old, new) in enumerate(zip(shape, after[path], strict=True)):
                if old == new:
                    continue
                if new != times * old:
                    raise ValueError(_NOT_ALONE.format("/".join(path), name))
                place = _place(name, path, axis, old, width)
                places.append(place)
                made = path[-1] == "kernel" and len(shape) in (2, 4) and axis == len(shape) - 1
                filters += [place] if made and place.times == 1 else []
        found[name] = ChannelGroup(width, tuple(filters), tuple(places))
    return found


def _place(name: str, path: tuple[str, ...], axis: int, size: int, width: int) -> ChannelSlice:
    if size % width == 0:
        return ChannelSlice(path, axis, size // width)
    half = next((HALVES[module] for module in path if module in HALVES), None)
    if 2 * size == width and half is not None:
        return ChannelSlice(path, axis, half=half)
    raise ValueError(_NOT_ALONE.format("/".join(path), name))


def all_channels(known: Mapping[str, ChannelGroup]) -> dict[str, np.ndarray]:
    """All channels of all parts."""
    return {name: np.ones(part.width, bool) for name, part in known.items()}


def largest_filters(
    part: ChannelGroup, kept: np.ndarray, weights: Weights, width: int
) -> np.ndarray | None:
    """bool[channels]: those `width` of the kept ones whose filters have the largest L2 norms.

    NetAdapt, https://arxiv.org/abs/1804.03230. Ties go to the first. None for an odd width of
    channels whose halves are made apart.
    """
    squares = np.zeros(part.width)
    for place in part.filters:
        kernel = np.asarray(leaf_at(weights, place.path), np.float64)
        norms = np.square(kernel).reshape(-1, kernel.shape[-1]).sum(0)
        middle = part.width // 2
        ours = {None: slice(None), 0: slice(None, middle), 1: slice(middle, None)}[place.half]
        squares[ours] += norms
    ranks = np.where(kept, -squares, np.inf)
    if not part.halved:
        return _first(ranks, width)
    if width % 2:
        return None
    return np.concatenate([_first(half, width // 2) for half in np.split(ranks, 2)])


def _first(ranks: np.ndarray, count: int) -> np.ndarray:
    found = np.zeros(len(ranks), bool)
    found[np.argsort(ranks, kind="stable")[:count]] = True
    return found


def weight_masks(
    known: Mapping[str, ChannelGroup], kept: ChannelMasks, weights: Weights
) -> Weights:
    """1 at the weights that are left, else 0; of the shapes of `weights`."""

    def of(path, leaf):
        found = np.ones(leaf.shape, np.float32)
        for part, place in groups_of_leaf(known, _names(path)):
            shape = [1] * leaf.ndim
            shape[place.axis] = -1
            found = found * _along(kept[part], place).reshape(shape)
        return jnp.asarray(found, leaf.dtype)

    return jax.tree_util.tree_map_with_path(of, weights)


def cut(
    known: Mapping[str, ChannelGroup], kept: ChannelMasks, weights: Weights, stats: Stats
) -> tuple[Weights, Stats]:
    """The weights and statistics of the network without the channels that go."""

    def of(path, leaf):
        # On the host: every shape would be a program of its own.
        left = np.asarray(leaf)
        for part, place in groups_of_leaf(known, _names(path)):
            left = np.compress(_along(kept[part], place), left, axis=place.axis)
        return jnp.asarray(left)

    return tuple(jax.tree_util.tree_map_with_path(of, tree) for tree in (weights, stats))


def _along(kept: np.ndarray, place: ChannelSlice) -> np.ndarray:
    return np.tile(kept, place.times) if place.half is None else np.split(kept, 2)[place.half]


def groups_of_leaf(
    known: Mapping[str, ChannelGroup], path: tuple[str, ...]
) -> list[tuple[str, ChannelSlice]]:
    """The parts that a leaf has channels of, and where."""
    return [
        (name, place)
        for name, part in known.items()
        for place in part.places
        if path[: len(place.path)] == place.path
    ]


def _shapes(trees: tuple[Any, Any]) -> dict[tuple[str, ...], tuple[int, ...]]:
    leaves = itertools.chain.from_iterable(map(jax.tree_util.tree_leaves_with_path, trees))
    return {_names(path): leaf.shape for path, leaf in leaves}


def _names(path) -> tuple[str, ...]:
    return tuple(key.key for key in path)


def leaf_at(tree: Any, path: tuple[str, ...]) -> Any:
    """What lies at a path."""
    for name in path:
        tree = tree[name]
    return tree
