"""Channel pruning of networks of cells or layers, each with a separate width."""

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


class NamedWidths(NamedTuple):
    """Widths of a network with the names of their groups; one name is one group of channels.

    Widths in `unequal`, pairs of indices, must stay unequal: else an operation would disappear.
    """

    widths: Widths
    names: tuple[str, ...]
    unequal: tuple[tuple[int, int], ...] = ()


def prunable_network(
    network: Callable[[Widths], Network], named: NamedWidths, image: jax.Array
) -> PrunableNetwork:
    """`network(widths)` with the groups of `named`; `image` is a batch, or its shape.

    Groups are inferred from shapes, which works for a user's operations, too. Raises ValueError as
    `channel_groups.groups_by_shape`.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    widths_of = lambda by_name: tuple(by_name[name] for name in named.names)
    shapes = lambda by_name: jax.eval_shape(network(widths_of(by_name)).init, key, image)

    def remaining(masks: ChannelMasks) -> Widths | None:
        widths = widths_of({name: int(mask.sum()) for name, mask in masks.items()})
        disappears = any(widths[i] == widths[j] for i, j in named.unequal)
        return None if disappears or min(widths) < 2 else widths

    by_name = dict(zip(named.names, named.widths, strict=True))
    groups = channel_groups.groups_by_shape(shapes, by_name)
    return PrunableNetwork(network(named.widths), groups, remaining, network)


def macs_counter(
    prunable: PrunableNetwork, named: NamedWidths, image: tuple[int, int, int]
) -> Callable[[Widths], int]:
    """Widths -> multiply-accumulates, without tracing a network for each.

    Those of a kernel are its size times its output pixels; its axes shrink with their groups.
    """
    pixels = count.pixels(prunable.net, image)
    key = jax.eval_shape(lambda: jax.random.key(0))
    images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
    weights, _ = jax.eval_shape(prunable.net.init, key, images)
    kernels = [
        (path, channel_groups.leaf_at(weights, path).shape, uses) for path, uses in pixels.items()
    ]
    groups = {path: channel_groups.groups_of_leaf(prunable.groups, path) for path in pixels}

    def macs(widths: Widths) -> int:
        new_widths, total = dict(zip(named.names, widths, strict=True)), 0
        for path, shape, uses in kernels:
            size = list(shape)
            for name, channel_slice in groups[path]:
                old_width = prunable.groups[name].width
                size[channel_slice.axis] = shape[channel_slice.axis] * new_widths[name] // old_width
            total += uses * math.prod(size)
        return total

    return macs


def of_cells(
    network: Callable[..., Network],
    named: Callable[..., NamedWidths],
    genotype: Genotype,
    recipe: Any,
    image: tuple[int, int, int],
    classes: int,
) -> Prunable:
    """The prunable network of a genotype.

    `network` is the space's; `named(genotype, features, cells, reductions)` gives the unpruned
    widths. `recipe` has the sizes of the network: features, cells, reductions and auxiliary.
    """
    unpruned = named(genotype, recipe.features, recipe.cells, recipe.reductions)

    def of_widths(widths: Widths) -> Network:
        return network(
            genotype, features=recipe.features, cells=recipe.cells, classes=classes,
            reductions=recipe.reductions, auxiliary=recipe.auxiliary > 0, widths=widths,
        )  # fmt: skip

    @functools.cache
    def groups(widths: Widths) -> PrunableNetwork:
        images = jax.ShapeDtypeStruct((1, *image), jnp.float32)
        return prunable_network(of_widths, unpruned._replace(widths=widths), images)

    def narrowest(multiple: int) -> Widths | None:
        prunable = groups(unpruned.widths)
        masks = {name: np.arange(g.width) < multiple for name, g in prunable.groups.items()}
        return prunable.remaining(masks)

    record = pruned_file.PrunedNetwork(genotype, unpruned.widths, recipe.cells, recipe.reductions)
    return Prunable(
        unpruned.widths,
        of_widths,
        groups,
        macs_counter(groups(unpruned.widths), unpruned, image),
        narrowest,
        lambda widths: dict(zip(unpruned.names, widths, strict=True)),
        "narrowed.json",
        lambda widths: pruned_file.to_json(record._replace(widths=widths)),
        lambda text: pruned_file.from_json(text, lambda genotype: network).widths,
    )
