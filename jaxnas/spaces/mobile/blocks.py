"""Modules of mobile networks, made from a chain: stem, head, and a layer's inverted bottleneck."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxnas.nets import inverted_bottleneck, ops
from jaxnas.nets.batch_norm import Norm
from jaxnas.nets.inverted_bottleneck import ACTIVATIONS, InvertedBottleneck
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Block, Chain, Layer


class MobileStem(nn.Module):
    """3x3 convolution, normalisation, activation."""

    chain: Chain
    norm: Norm

    @nn.compact
    def __call__(self, x):
        chain = self.chain
        convolution = functools.partial(ops.Convolution, initializer=ops.he_normal)
        x = convolution(
            chain.stem, 3, chain.stem_stride, padding=chain.padding, name="convolution"
        )(x)
        return ACTIVATIONS[chain.outer_activation](self.norm(name="norm")(x))


class MobileHead(nn.Module):
    """1x1 convolution, global mean, one or two linear layers: logits."""

    chain: Chain
    classes: int
    norm: Norm
    dropout: bool  # whether features are dropped before the last layer

    @nn.compact
    def __call__(self, x):
        chain, activation = self.chain, ACTIVATIONS[self.chain.outer_activation]
        x = inverted_bottleneck.pointwise(chain.head, name="convolution")(x)
        x = jnp.mean(activation(self.norm(name="norm")(x)), (1, 2))
        if chain.hidden:
            x = activation(inverted_bottleneck.dense(chain.hidden, x, "hidden"))
        x = nn.Dropout(chain.dropout, deterministic=not self.dropout, name="dropout")(x)
        return inverted_bottleneck.dense(self.classes, x, "classifier")


def bottleneck(
    layer: Layer, candidate: str, chain: Chain, norm: Norm, **module: Any
) -> InvertedBottleneck:
    """The module of a layer's candidate other than a skip; `module`: its `name` or `parent`."""
    block = chains.block(candidate)
    return InvertedBottleneck(
        layer.features,
        chains.hidden(layer, block),
        block.kernel,
        layer.stride,
        norm,
        block.groups,
        squeezed_features(layer, block, chain) if block.squeeze else 0,
        chain.squeeze.gate,
        block.activation or chain.activation,
        chain.padding,
        **module,
    )


def squeezed_features(layer: Layer, block: Block, chain: Chain) -> int:
    """Features between squeeze and excitation, by the chain's rule."""
    rule = chain.squeeze
    features = rule.ratio * (layer.inputs if rule.of == "input" else chains.hidden(layer, block))
    if rule.divisor == 1:
        return max(1, int(features))
    rounded = max(rule.divisor, int(features + rule.divisor / 2) // rule.divisor * rule.divisor)
    return rounded if rounded >= 0.9 * features else rounded + rule.divisor


def chain_norm(chain: Chain, norm: Norm) -> Norm:
    """`norm` with the chain's decay and epsilon."""
    return functools.partial(norm, decay=chain.decay, epsilon=chain.epsilon)
