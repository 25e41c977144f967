"""Convolutions, and candidate operations: Linen modules `Op(features, stride, norm)`.

An op maps an image `[B, H, W, C]` to one of `features` channels and divides its size by `stride`.
`norm` makes a normalisation layer; the network decides whether it is affine and
which statistics it uses. DARTS operations: https://arxiv.org/abs/1806.09055, quark0/darts
cnn/operations.py.
"""

import math
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.nets import lowering
from jaxnas.nets.batch_norm import Norm

OpFactory = Callable[..., nn.Module]  # factory(features, stride, norm) -> module
Ops = Mapping[str, OpFactory]
# (fan in, fan out) -> how a kernel is drawn.
FanInitializer = Callable[[int, int], nn.initializers.Initializer]


def torch_uniform(fan_in: int, fan_out: int = 0) -> nn.initializers.Initializer:
    """torch's default: uniform within 1 / sqrt(fan_in) of zero, whatever the fan out."""
    bound = fan_in**-0.5

    # Drawn flat: XLA takes six times longer to compile draws of four dimensions.
    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)

    return init


def he_normal(fan_in: int, fan_out: int) -> nn.initializers.Initializer:
    """Normal with variance 2 / fan_out, whatever the fan in. https://arxiv.org/abs/1502.01852"""
    deviation = math.sqrt(2 / fan_out)

    # Drawn flat, as above.
    def init(key, shape, dtype=jnp.float32):
        return deviation * jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape)

    return init


class Depthwise(nn.Module):
    """Depthwise convolution, one k x k kernel a channel; both fans are k * k."""

    size: int
    stride: int = 1
    dilation: int = 1
    padding: lowering.Padding = "symmetric"
    initializer: FanInitializer = torch_uniform

    @nn.compact
    def __call__(self, x):
        shape, fan = (self.size, self.size, x.shape[-1]), self.size**2
        kernel = self.param("kernel", self.initializer(fan, fan), shape, x.dtype)
        if self.is_initializing():
            return lowering.blank(x, x.shape[-1], self.stride)
        return lowering.depthwise(x, kernel, self.stride, self.dilation, self.padding)


class Pointwise(nn.Module):
    """1x1 convolution without bias, in groups: the kernel is `[C, O]` or `[groups, C, O]`."""

    features: int
    stride: int = 1
    groups: int = 1
    initializer: FanInitializer = torch_uniform

    @nn.compact
    def __call__(self, x):
        inputs, outputs = x.shape[-1] // self.groups, self.features // self.groups
        shape = (inputs, outputs) if self.groups == 1 else (self.groups, inputs, outputs)
        initializer = self.initializer(inputs, self.features)
        kernel = self.param("kernel", initializer, shape, x.dtype)
        if self.groups == 1:
            return lowering.pointwise(x, kernel, self.stride)
        x = x[:, :: self.stride, :: self.stride]
        y = jnp.einsum("bhwgi,gio->bhwgo", x.reshape(*x.shape[:3], self.groups, inputs), kernel)
        return y.reshape(*x.shape[:3], self.features)


class Convolution(nn.Module):
    """Full k x k convolution."""

    features: int
    size: int
    stride: int = 1
    bias: bool = False
    padding: lowering.Padding = "symmetric"
    initializer: FanInitializer = torch_uniform

    @nn.compact
    def __call__(self, x):
        shape = (self.size, self.size, x.shape[-1], self.features)
        initializer = self.initializer(self.size**2 * x.shape[-1], self.size**2 * self.features)
        kernel = self.param("kernel", initializer, shape, x.dtype)
        bias = self.param("bias", initializer, shape[-1:], x.dtype) if self.bias else None
        if self.is_initializing():
            return lowering.blank(x, self.features, self.stride)
        y = lowering.convolution(x, kernel, self.stride, self.padding)
        return y if bias is None else y + bias


class Identity(nn.Module):
    """The identity."""

    @nn.compact
    def __call__(self, x):
        return x


class FactorizedReduce(nn.Module):
    """Halves the size by two strided 1x1 convolutions, the second one pixel off.

    An odd side is padded by one zero, as sharpDARTS does; the DARTS code needs even sides.
    """

    features: int
    norm: Norm

    @nn.compact
    def __call__(self, x):
        height, width = x.shape[1:3]
        x = jnp.pad(nn.relu(x), ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        half = self.features // 2
        y = jnp.concatenate(
            [
                Pointwise(half, 2, name="even")(x),
                Pointwise(self.features - half, 2, name="odd")(x[:, 1:, 1:]),
            ],
            -1,
        )
        return self.norm(name="norm")(y)


class ReluConvBN(nn.Module):
    """ReLU, 1x1 convolution, normalisation."""

    features: int
    norm: Norm

    @nn.compact
    def __call__(self, x):
        return self.norm(name="norm")(Pointwise(self.features, name="pointwise")(nn.relu(x)))


class SeparableConv(nn.Module):
    """Twice: ReLU, depthwise, pointwise, normalisation; the stride is the first one's."""

    features: int
    stride: int
    norm: Norm
    size: int

    @nn.compact
    def __call__(self, x):
        for i, stride in enumerate((self.stride, 1)):
            x = Depthwise(self.size, stride, name=f"depthwise_{i}")(nn.relu(x))
            x = Pointwise(self.features, name=f"pointwise_{i}")(x)
            x = self.norm(name=f"norm_{i}")(x)
        return x


class DilatedConv(nn.Module):
    """ReLU, depthwise with dilation 2, pointwise, normalisation."""

    features: int
    stride: int
    norm: Norm
    size: int

    @nn.compact
    def __call__(self, x):
        x = Depthwise(self.size, self.stride, 2, name="depthwise")(nn.relu(x))
        return self.norm(name="norm")(Pointwise(self.features, name="pointwise")(x))


class Pooling(nn.Module):
    """3x3 pooling; in a supernet a normalisation follows, in a derived network none (None)."""

    features: int
    stride: int
    norm: Norm | None
    pool: Callable[[jax.Array, int], jax.Array]

    @nn.compact
    def __call__(self, x):
        is_made = self.is_initializing()
        y = lowering.blank(x, x.shape[-1], self.stride) if is_made else self.pool(x, self.stride)
        return y if self.norm is None else self.norm(name="norm")(y)


class Rectangle(nn.Module):
    """Full convolution whose kernel and strides may differ by side, or be even: 2x2 unpadded."""

    features: int
    size: tuple[int, int]
    strides: tuple[int, int]

    @nn.compact
    def __call__(self, x):
        shape = (*self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", torch_uniform(math.prod(shape[:3])), shape, x.dtype)
        padding = [((n - 1) // 2, (n - 1) // 2) for n in self.size]
        return jax.lax.conv_general_dilated(
            x, kernel, self.strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )


class FactorizedConv(nn.Module):
    """ReLU, 1x7 then 7x1 full convolutions, normalisation. AmoebaNet's conv_7x1_1x7."""

    features: int
    stride: int
    norm: Norm

    @nn.compact
    def __call__(self, x):
        x = Rectangle(self.features, (1, 7), (1, self.stride), name="wide")(nn.relu(x))
        x = Rectangle(self.features, (7, 1), (self.stride, 1), name="tall")(x)
        return self.norm(name="norm")(x)


class ReluConv(nn.Module):
    """ReLU, full k x k convolution, normalisation: NAS-Bench-201's convolution.

    Without an affine normalisation the convolution has a bias, as in the benchmark's code.
    """

    features: int
    stride: int
    norm: Norm
    size: int
    bias: bool = False

    @nn.compact
    def __call__(self, x):
        conv = Convolution(self.features, self.size, self.stride, self.bias, name="convolution")
        return self.norm(name="norm")(conv(nn.relu(x)))


class Noise(nn.Module):
    """A standard normal image, independent of its input: RobustDARTS's S4.

    Its key is one of the statistics and changes with every training pass, so that a resumed search
    draws as an uninterrupted one. Without weights, it has the same value on all edges of a source.
    """

    stride: int

    @nn.compact
    def __call__(self, x):
        initial_key = lambda: jax.random.key_data(self.make_rng("params"))
        state = self.variable("stats", "key", initial_key)
        key, next_key = jax.random.split(jax.random.wrap_key_data(state.value))
        if self.is_mutable_collection("stats") and not self.is_initializing():
            state.value = jax.random.key_data(next_key)
        batch, height, width, channels = x.shape
        size = (-(-height // self.stride), -(-width // self.stride))
        return jax.random.normal(key, (batch, *size, channels), x.dtype)


class ResidualReduction(nn.Module):
    """NAS-Bench-201's block between stages: halves the size, changes the features."""

    features: int
    norm: Norm

    @nn.compact
    def __call__(self, x):
        y = ReluConv(self.features, 2, self.norm, 3, name="convolution_0")(x)
        y = ReluConv(self.features, 1, self.norm, 3, name="convolution_1")(y)
        pooled = nn.avg_pool(x, (2, 2), (2, 2))
        return Pointwise(self.features, name="shortcut")(pooled) + y


def classifier(classes: int, x: jax.Array) -> jax.Array:
    """Logits from an image: mean over the pixels, then a linear layer. Call within a module."""
    uniform = torch_uniform(x.shape[-1])
    dense = nn.Dense(
        classes, kernel_init=uniform, bias_init=uniform, param_dtype=x.dtype, name="classifier"
    )
    return dense(jnp.mean(x, (1, 2)))


def skip_connect(features: int, stride: int, norm: Norm) -> nn.Module:
    """The identity; at stride 2 a factorised reduction."""
    return Identity() if stride == 1 else FactorizedReduce(features, norm)


def max_pool_3x3(features: int, stride: int, norm: Norm | None) -> nn.Module:
    """Maximum; pixels outside the image count as -inf."""
    return Pooling(features, stride, norm, lowering.max_pool)


def avg_pool_3x3(features: int, stride: int, norm: Norm | None) -> nn.Module:
    """Mean over the pixels inside the image."""
    return Pooling(features, stride, norm, lowering.average_pool)


def separable(size: int) -> OpFactory:
    """Makes `SeparableConv`s of k x k kernels."""
    return lambda features, stride, norm: SeparableConv(features, stride, norm, size)


def dilated(size: int) -> OpFactory:
    """Makes `DilatedConv`s of k x k kernels."""
    return lambda features, stride, norm: DilatedConv(features, stride, norm, size)


DARTS: Ops = {
    "max_pool_3x3": max_pool_3x3,
    "avg_pool_3x3": avg_pool_3x3,
    "skip_connect": skip_connect,
    "sep_conv_3x3": separable(3),
    "sep_conv_5x5": separable(5),
    "sep_conv_7x7": separable(7),
    "dil_conv_3x3": dilated(3),
    "dil_conv_5x5": dilated(5),
    "conv_7x1_1x7": FactorizedConv,
    "noise": lambda features, stride, norm: Noise(stride),
}

# A derived network normalises no pools.
DARTS_DERIVED: Ops = dict(DARTS) | {
    "max_pool_3x3": lambda features, stride, norm: max_pool_3x3(features, stride, None),
    "avg_pool_3x3": lambda features, stride, norm: avg_pool_3x3(features, stride, None),
}


def nasbench201(affine: bool) -> Ops:
    """NAS-Bench-201's candidates. https://arxiv.org/abs/2001.00326

    A convolution has a bias where its normalisation has none (D-X-Y/AutoDL-Projects,
    cell_operations.py).
    """

    def conv(size: int) -> OpFactory:
        return lambda features, stride, norm: ReluConv(features, stride, norm, size, not affine)

    return {
        "skip_connect": skip_connect,
        "nor_conv_1x1": conv(1),
        "nor_conv_3x3": conv(3),
        "avg_pool_3x3": lambda features, stride, norm: avg_pool_3x3(features, stride, None),
    }
