"""The inverted bottleneck of MobileNetV2, with groups and squeeze-and-excitation.

https://arxiv.org/abs/1801.04381: a 1x1 expansion, a depthwise convolution, a 1x1 projection.
Submodules have the names of checkpoint paths: `widen`, `look`, `narrow`.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.nets import lowering, ops
from jaxnas.nets.batch_norm import Norm

ACTIVATIONS = {"relu": nn.relu, "relu6": nn.relu6, "hswish": nn.hard_swish}
SQUEEZE_GATES = {"sigmoid": nn.sigmoid, "hard_sigmoid": nn.hard_sigmoid}

# Kernels of mobile networks begin as those of Single-Path NAS do.
pointwise = functools.partial(ops.Pointwise, initializer=ops.he_normal)
depthwise = functools.partial(ops.Depthwise, initializer=ops.he_normal)


class InvertedBottleneck(nn.Module):
    """Expansion, depthwise convolution, squeeze-and-excitation, projection.

    Residual at stride 1 and equal features; without expansion if `hidden` is the number of input
    features.
    """

    features: int  # output
    hidden: int  # between the two 1x1 convolutions
    kernel: int
    stride: int
    norm: Norm
    groups: int = 1  # of both 1x1 convolutions
    squeezed: int = 0  # features between squeeze and excitation; 0: there is neither
    squeeze_gate: str = "sigmoid"
    activation: str = "relu"
    padding: lowering.Padding = "symmetric"

    @nn.compact
    def __call__(self, x):
        activation, y = ACTIVATIONS[self.activation], x
        if self.hidden != x.shape[-1]:
            y = pointwise(self.hidden, groups=self.groups, name="widen")(y)
            y = activation(self.norm(name="widen_norm")(y))
        y = channel_shuffle(y, self.groups)
        y = depthwise(self.kernel, self.stride, padding=self.padding, name="look")(y)
        y = activation(self.norm(name="look_norm")(y))
        if self.squeezed:
            y = SqueezeExcite(self.squeezed, self.squeeze_gate, name="squeeze")(y)
        y = pointwise(self.features, groups=self.groups, name="narrow")(y)
        y = self.norm(name="narrow_norm")(y)
        return x + y if self.stride == 1 and self.features == x.shape[-1] else y


class SqueezeExcite(nn.Module):
    """Channels times gates in [0, 1] that depend on the means of all channels.

    https://arxiv.org/abs/1709.01507
    """

    squeezed: int
    gate: str

    @nn.compact
    def __call__(self, x):
        y = jnp.mean(x, (1, 2))
        y = nn.relu(dense(self.squeezed, y, "squeeze"))
        return x * SQUEEZE_GATES[self.gate](dense(x.shape[-1], y, "excite"))[:, None, None]


def channel_shuffle(x: jax.Array, groups: int) -> jax.Array:
    """Channel shuffle between groups. ShuffleNet, https://arxiv.org/abs/1707.01083"""
    if groups == 1:
        return x
    return x.reshape(*x.shape[:3], groups, -1).swapaxes(3, 4).reshape(x.shape)


def dense(features: int, x: jax.Array, name: str) -> jax.Array:
    """A linear layer. Call within a module.

    Uniform within 1 / sqrt(features) of zero, as Single-Path NAS begins its classifier.
    """
    bound = features**-0.5
    uniform = lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)
    return nn.Dense(features, kernel_init=uniform, param_dtype=x.dtype, name=name)(x)
