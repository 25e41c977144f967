"""Narrower networks of cells and of paths through a grid, each cell with a width of its own."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core.types import Network
from jaxnas.nets import channel_groups, count, functional
from jaxnas.nets.channel_groups import ChannelMasks, PrunableNetwork
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.hypercuboid import network as hypercuboid_network
from jaxnas.spaces.nasbench201 import network as nasbench201_network

Widths = tuple[int, ...]


class Named(NamedTuple):
    """Widths of a network with the names of their parts: those of one name are the same channels.

    Widths in `unequal`, pairs of places, must stay so: an operation would vanish.
    """

    widths: Widths
    names: tuple[str, ...]
    unequal: tuple[tuple[int, int], ...] = ()


def subject(
    network: Callable[[Widths], Network], named: Named, image: jax.Array
) -> PrunableNetwork:
    """`network(widths)` with the parts of `named`; `image` is a batch, of which shapes are taken.

    Parts are found from shapes, so that they hold for a user's operations, too. Raises ValueError
    as `channel_groups.groups_by_shape`.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    widths_of = lambda by_name: tuple(by_name[name] for name in named.names)
    shapes = lambda by_name: jax.eval_shape(network(widths_of(by_name)).init, key, image)

    def left(kept: ChannelMasks) -> Widths | None:
        widths = widths_of({name: int(channels.sum()) for name, channels in kept.items()})
        vanishes = any(widths[i] == widths[j] for i, j in named.unequal)
        return None if vanishes or min(widths) < 2 else widths

    known = channel_groups.groups_by_shape(
        shapes, dict(zip(named.names, named.widths, strict=True))
    )
    return PrunableNetwork(network(named.widths), known, left, network)


def counter(
    subject: PrunableNetwork, named: Named, image: tuple[int, int, int]
) -> Callable[[Widths], int]:
    """Widths -> multiply-accumulates, without tracing a network for each.

    A kernel's are its size times the pixels that it makes, and its axes shrink as its parts do.
    """
    pixels = count.pixels(subject.net, image)
    key = jax.eval_shape(lambda: jax.random.key(0))
    images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    weights, _ = jax.eval_shape(subject.net.init, key, images)
    kernels = [
        (path, channel_groups.leaf_at(weights, path).shape, times) for path, times in pixels.items()
    ]
    touching = {path: channel_groups.groups_of_leaf(subject.parts, path) for path in pixels}

    def macs(widths: Widths) -> int:
        left, total = dict(zip(named.names, widths, strict=True)), 0
        for path, shape, times in kernels:
            size = list(shape)
            for name, place in touching[path]:
                size[place.axis] = shape[place.axis] * left[name] // subject.parts[name].width
            total += times * math.prod(size)
        return total

    return macs


def named(
    family: str,
    genotype: Genotype,
    features: int,
    cells: int | None,
    reductions: Sequence[int] | None,
) -> Named:
    """The widths of the network that `features` alone would make."""
    if family == "grid":
        return _path(genotype, features)
    if family == "nasbench201":
        widths = nasbench201_network.widths_of(features)
        return Named(widths, tuple(f"stage_{i}" for i in range(len(widths))))
    halved = functional.default_reductions(cells) if reductions is None else reductions
    widths = darts_network.widths_of(features, cells, halved)
    return Named(widths, ("stem", *(f"cell_{i}" for i in range(cells))))


def _path(genotype: Genotype, features: int) -> Named:
    """A pool passes its channels on where the width stays, and has a convolution where not."""
    widths, names, unequal = hypercuboid_network.widths_of(genotype, features), ["stem"], []
    for i, (_, _, op) in enumerate(genotype.cells["grid"].edges):
        pools, stays = "pool" in op, widths[i] == widths[i + 1]
        names.append(names[-1] if pools and stays else f"layer_{i}")
        unequal += [(i, i + 1)] if pools and not stays else []
    return Named(widths, tuple(names), tuple(unequal))
