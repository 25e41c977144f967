"""Growth that preserves the function: wider and deeper chains with the outputs of the old one.

Net2Net, Chen et al. 2016, https://arxiv.org/abs/1511.05641, as EAS applies it, Cai et al. 2018,
https://arxiv.org/abs/1707.04873; without their noise.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.nets import plain_chain
from jaxnas.nets.plain_chain import Plain, PlainLayer

EPSILON = 1e-5  # of the normalisation


class Grown(NamedTuple):
    """A chain with its weights and statistics."""

    layers: Plain
    weights: Mapping[str, Any]
    stats: Mapping[str, Any]


def widen(net: Grown, layer: int, features: int, random: np.random.Generator) -> Grown:
    """The chain with `features` channels in a layer: added ones copy channels drawn at random.

    What reads a channel is divided by the number of its copies, so that outputs stay, in training
    too. Raises ValueError for a layer that is none and for fewer channels.
    """
    old = _layer(net, layer)
    if features < old.features:
        raise ValueError(
            f"Layer {layer} has {old.features} channels: it cannot grow to {features}."
        )
    added = random.integers(0, old.features, features - old.features)
    channels = np.append(np.arange(old.features), added)
    copies = np.bincount(channels, minlength=old.features)[channels]
    weights, stats = dict(net.weights), dict(net.stats)
    weights[f"convolution_{layer}"] = {
        "kernel": net.weights[f"convolution_{layer}"]["kernel"][..., channels]
    }
    for tree in (weights, stats):
        norm = tree[f"norm_{layer}"]
        tree[f"norm_{layer}"] = {name: leaf[channels] for name, leaf in norm.items()}
    is_last = layer == len(net.layers) - 1
    reader = "classifier" if is_last else f"convolution_{layer + 1}"
    kernel = net.weights[reader]["kernel"]
    kernel = jnp.take(kernel, channels, kernel.ndim - 2) / copies[:, None].astype(kernel.dtype)
    weights[reader] = dict(net.weights[reader]) | {"kernel": kernel}
    layers = list(net.layers)
    layers[layer] = old._replace(features=features)
    return Grown(tuple(layers), weights, stats)


def deepen(net: Grown, after: int, kernel: int, inputs: jnp.ndarray) -> Grown:
    """The chain with a layer after another that does nothing yet: an identity convolution.

    Its normalisation has mean, variance, scale and bias of what enters it of `inputs`,
    f32[B, H, W, C], so that it normalises from the first training step on and still passes its
    input; the ReLU changes nothing, as a ReLU comes before. Raises ValueError for a layer that is
    none and for an even kernel.
    """
    old = _layer(net, after)
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"A kernel of {kernel} has no middle: choose an odd one.")
    entering = plain_chain.activations(net.layers, net.weights, net.stats, inputs)[after]
    mean, var = entering.mean((0, 1, 2)), entering.var((0, 1, 2))
    identity = np.zeros((kernel, kernel, old.features, old.features), np.float32)
    identity[kernel // 2, kernel // 2] = np.eye(old.features)
    weights, stats = (_shifted(tree, after + 1) for tree in (net.weights, net.stats))
    weights[f"convolution_{after + 1}"] = {"kernel": jnp.asarray(identity)}
    weights[f"norm_{after + 1}"] = {"scale": jnp.sqrt(var + EPSILON), "bias": mean}
    stats[f"norm_{after + 1}"] = {"mean": mean, "var": var}
    added = PlainLayer(old.features, kernel)
    return Grown((*net.layers[: after + 1], added, *net.layers[after + 1 :]), weights, stats)


def _layer(net: Grown, index: int) -> PlainLayer:
    if not 0 <= index < len(net.layers):
        raise ValueError(f"Layer {index} is none of the chain's 0 to {len(net.layers) - 1}.")
    return net.layers[index]


def _shifted(tree: Mapping[str, Any], start: int) -> dict[str, Any]:
    """The tree with layers from `start` on named one later."""

    def name(old: str) -> str:
        stem, separator, number = old.rpartition("_")
        is_later = separator and number.isdigit() and int(number) >= start
        return f"{stem}_{int(number) + 1}" if is_later else old

    return {name(key): value for key, value in tree.items()}
