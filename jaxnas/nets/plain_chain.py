"""A plain convolutional network: layers of convolution, normalisation and ReLU, one after another.

The networks that EAS grows, https://arxiv.org/abs/1707.04873, section 5 (from memory).
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.core.types import Network
from jaxnas.nets import batch_norm, functional, ops


class PlainLayer(NamedTuple):
    """A layer of a chain."""

    features: int
    kernel: int = 3  # odd
    pooled: bool = False  # whether 2 x 2 max pooling follows


Plain = tuple[PlainLayer, ...]


class PlainNetwork(nn.Module):
    """The layers, the global mean and a linear classifier; `taps` keeps each layer's output."""

    layers: Plain
    classes: int
    training: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = functools.partial(batch_norm.BatchNorm, affine=True, training=self.training)
        for i, layer in enumerate(self.layers):
            x = ops.Convolution(layer.features, layer.kernel, name=f"convolution_{i}")(x)
            x = nn.relu(norm(name=f"norm_{i}")(x))
            if layer.pooled:
                x = nn.max_pool(x, (2, 2), (2, 2))
            self.sow("taps", f"layer_{i}", x)
        return nn.Dense(self.classes, name="classifier")(jnp.mean(x, (1, 2)))


def plain_chain(layers: Plain, classes: int) -> Network:
    """The network of a chain. Raises ValueError for no layer, and for sizes that cannot be."""
    _check(layers, classes)
    make = functools.partial(PlainNetwork, layers, classes)
    pools = sum(layer.pooled for layer in layers)

    def check_image(height: int, width: int) -> None:
        if min(height, width) < 2**pools:
            raise ValueError(f"{pools} pools leave nothing of {height}x{width} pixels.")

    return functional.network(make, check_image=check_image)


def activations(layers: Plain, weights, stats, inputs: jax.Array) -> list[jax.Array]:
    """The output of each layer, by running statistics, f32[B, h, w, features] each."""
    classes = weights["classifier"]["bias"].shape[0]
    module = PlainNetwork(layers, classes, training=False)
    variables = {"params": weights, "stats": stats}
    _, found = module.apply(variables, inputs, mutable=["taps"])
    return [found["taps"][f"layer_{i}"][0] for i in range(len(layers))]


def _check(layers: Plain, classes: int) -> None:
    wrong = [one for one in layers if one.features < 1 or one.kernel < 1 or one.kernel % 2 == 0]
    if not layers or wrong or classes < 2:
        raise ValueError(
            f"A chain has layers with features and odd kernels, and 2 classes or more, not "
            f"{wrong[0] if wrong else layers} and {classes}."
        )
