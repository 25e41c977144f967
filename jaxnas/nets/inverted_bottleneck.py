"""Inverted bottlenecks.

Widen by a 1x1 convolution, look around by a depthwise one, narrow by a 1x1 one.
MobileNetV2, https://arxiv.org/abs/1801.04381
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.nets import lowering
from jaxnas.nets.batch_norm import Norm
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile.chain import Block, Chain, Layer

ACTIVATIONS = {"relu": nn.relu, "relu6": nn.relu6, "hswish": nn.hard_swish}
GATES = {"sigmoid": nn.sigmoid, "hard_sigmoid": nn.hard_sigmoid}


class Pointwise(nn.Module):
    """1x1 convolution without bias, in groups: the kernel is `[C, O]` or `[groups, C, O]`."""

    features: int
    groups: int = 1

    @nn.compact
    def __call__(self, x):
        inputs, outputs = x.shape[-1] // self.groups, self.features // self.groups
        shape = (inputs, outputs) if self.groups == 1 else (self.groups, inputs, outputs)
        kernel = self.param("kernel", he_normal(self.features), shape, x.dtype)
        if self.groups == 1:
            return lowering.pointwise(x, kernel)
        y = jnp.einsum("bhwgi,gio->bhwgo", x.reshape(*x.shape[:3], self.groups, inputs), kernel)
        return y.reshape(*x.shape[:3], self.features)


class Depthwise(nn.Module):
    """One k x k kernel a channel, padded as `padding` says."""

    size: int
    stride: int
    padding: str

    @nn.compact
    def __call__(self, x):
        shape = (self.size, self.size, x.shape[-1])
        kernel = self.param("kernel", he_normal(self.size**2), shape, x.dtype)
        return depthwise_convolution(x, kernel, self.stride, self.padding)


class Stem(nn.Module):
    """Full 3x3 convolution."""

    features: int
    stride: int
    padding: str

    @nn.compact
    def __call__(self, x):
        shape = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", he_normal(9 * self.features), shape, x.dtype)
        run = lambda x: lowering.convolution(x, kernel, self.stride)
        return padded(run, x, self.stride, self.padding)


class SqueezeExcite(nn.Module):
    """Scales every channel by what the mean of all channels says."""

    squeezed: int
    gate: str

    @nn.compact
    def __call__(self, x):
        y = jnp.mean(x, (1, 2))
        y = nn.relu(dense(self.squeezed, y, "squeeze"))
        return x * GATES[self.gate](dense(x.shape[-1], y, "excite"))[:, None, None]


class Bottleneck(nn.Module):
    """An inverted bottleneck; the image is added where it fits.

    An expansion of 1 has no first convolution.
    """

    layer: Layer
    block: Block
    chain: Chain
    norm: Norm

    @nn.compact
    def __call__(self, x):
        layer, what, chain = self.layer, self.block, self.chain
        activation = ACTIVATIONS[what.activation or chain.activation]
        hidden, y = chains.hidden(layer, what), x
        if hidden != layer.inputs:
            y = Pointwise(hidden, what.groups, name="widen")(y)
            y = activation(self.norm(name="widen_norm")(y))
        y = shuffled(y, what.groups)
        y = Depthwise(what.kernel, layer.stride, chain.padding, name="look")(y)
        y = activation(self.norm(name="look_norm")(y))
        if what.squeeze:
            squeezed = squeezed_features(layer, what, chain)
            y = SqueezeExcite(squeezed, chain.squeeze.gate, name="squeeze")(y)
        y = Pointwise(layer.features, what.groups, name="narrow")(y)
        y = self.norm(name="narrow_norm")(y)
        return x + y if layer.residual else y


class MobileStem(nn.Module):
    """Stem convolution, normalisation, activation."""

    chain: Chain
    norm: Norm

    @nn.compact
    def __call__(self, x):
        chain = self.chain
        x = Stem(chain.stem, chain.stem_stride, chain.padding, name="convolution")(x)
        return ACTIVATIONS[chain.outer_activation](self.norm(name="norm")(x))


class MobileHead(nn.Module):
    """1x1 convolution, mean over the pixels, linear layers; logits. Dropout where `dropping`."""

    chain: Chain
    classes: int
    norm: Norm
    dropping: bool

    @nn.compact
    def __call__(self, x):
        chain, activation = self.chain, ACTIVATIONS[self.chain.outer_activation]
        x = Pointwise(chain.head, name="convolution")(x)
        x = jnp.mean(activation(self.norm(name="norm")(x)), (1, 2))
        if chain.hidden:
            x = activation(dense(chain.hidden, x, "hidden"))
        x = nn.Dropout(chain.dropout, deterministic=not self.dropping, name="dropout")(x)
        return dense(self.classes, x, "classifier")


def chain_norm(chain: Chain, norm: Norm) -> Norm:
    """`norm` with the chain's decay and epsilon."""
    return functools.partial(norm, decay=chain.decay, epsilon=chain.epsilon)


def depthwise_convolution(x: jax.Array, kernel: jax.Array, stride: int, padding: str) -> jax.Array:
    """Depthwise convolution of `[B, H, W, C]` by `[k, k, C]`."""
    return padded(lambda x: lowering.depthwise(x, kernel, stride, 1), x, stride, padding)


def padded(run, x: jax.Array, stride: int, padding: str) -> jax.Array:
    """`run(x)`, a convolution that pads symmetrically, with the padding that is asked for.

    At stride 2 TensorFlow's 'same' has its windows one pixel later on even sides: a zero is put in
    front and the first window left out.
    """
    late = [padding == "same" and stride == 2 and n % 2 == 0 for n in x.shape[1:3]]
    if any(late):
        x = jnp.pad(x, ((0, 0), *((int(n), 0) for n in late), (0, 0)))
    return run(x)[:, int(late[0]) :, int(late[1]) :]


def shuffled(x: jax.Array, groups: int) -> jax.Array:
    """Channels of all groups taken in turn: https://arxiv.org/abs/1707.01083"""
    if groups == 1:
        return x
    return x.reshape(*x.shape[:3], groups, -1).swapaxes(3, 4).reshape(x.shape)


def squeezed_features(layer: Layer, what: Block, chain: Chain) -> int:
    """Features between squeeze and excitation."""
    rule = chain.squeeze
    features = rule.ratio * (layer.inputs if rule.of == "input" else chains.hidden(layer, what))
    if rule.divisor == 1:
        return max(1, int(features))
    found = max(rule.divisor, int(features + rule.divisor / 2) // rule.divisor * rule.divisor)
    return found if found >= 0.9 * features else found + rule.divisor


def dense(features: int, x: jax.Array, name: str) -> jax.Array:
    """A linear layer. Call within a module.

    Uniform within 1 / sqrt(features) of zero, as Single-Path NAS begins its classifier.
    """
    bound = features**-0.5
    uniform = lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)
    return nn.Dense(features, kernel_init=uniform, param_dtype=x.dtype, name=name)(x)


def he_normal(fan_out: int) -> nn.initializers.Initializer:
    """Normal with variance 2 / fan_out; Single-Path NAS counts k * k for a depthwise kernel."""
    deviation = math.sqrt(2 / fan_out)

    # Drawn flat: XLA takes six times longer to compile draws of four dimensions.
    def init(key, shape, dtype=jnp.float32):
        return deviation * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init
