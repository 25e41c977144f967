"""Narrower networks of cells and of paths through a grid, each cell with a width of its own."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Network
from jaxnas.nets import channel_groups, count
from jaxnas.nets.channel_groups import ChannelMasks, PrunableNetwork
from jaxnas.spaces import pruned_file
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import Prunable

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


def of_cells(
    network: Callable[..., Network],
    named: Callable[..., Named],
    genotype: Genotype,
    recipe: Any,
    image: tuple[int, int, int],
    classes: int,
) -> Prunable:
    """How channels are taken from the network of a genotype.

    `network` is the space's; `named(genotype, features, cells, reductions)` gives the widths that
    `features` alone would make. `recipe` has the sizes of the network: features, cells, reductions
    and auxiliary.
    """
    whole = named(genotype, recipe.features, recipe.cells, recipe.reductions)

    def of_widths(widths: Widths) -> Network:
        return network(
            genotype, features=recipe.features, cells=recipe.cells, classes=classes,
            reductions=recipe.reductions, auxiliary=recipe.auxiliary > 0, widths=widths,
        )  # fmt: skip

    @functools.cache
    def groups(widths: Widths) -> PrunableNetwork:
        images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
        return subject(of_widths, whole._replace(widths=widths), images)

    def narrowest(multiple: int) -> Widths | None:
        parts = groups(whole.widths).parts
        kept = {name: np.arange(part.width) < multiple for name, part in parts.items()}
        return groups(whole.widths).left(kept)

    record = pruned_file.PrunedNetwork(genotype, whole.widths, recipe.cells, recipe.reductions)
    return Prunable(
        whole.widths,
        of_widths,
        groups,
        counter(groups(whole.widths), whole, image),
        narrowest,
        lambda widths: dict(zip(whole.names, widths, strict=True)),
        "narrowed.json",
        lambda widths: pruned_file.to_json(record._replace(widths=widths)),
        lambda text: pruned_file.from_json(text, lambda genotype: network).widths,
    )
