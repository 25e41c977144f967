"""How a primitive is computed, so that XLA compiles few operations and runs them fast.

Images are `[B, H, W, C]`, kernels `[k, k, C]` (depthwise) or `[k, k, C, O]` (full). Padding is
symmetric, as in torch: XLA's SAME pads the other side at stride 2. XLA runs grouped convolutions
on the CPU, and the gradients of full ones inside its loops (jax-ml/jax#12868), 5 to 80 times
slower than the forms below; figures are in docs/performance.md. None of them scatters, so their
gradients are deterministic on every backend.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata


# Into how many groups the images of a batch fall where a kernel's gradient is summed.
GROUPS = 8


def _apart(*static: int) -> Callable:
    """Makes a function kernels of its own: XLA fuses nothing into or out of it.

    XLA:CPU fuses whole chains of shifted sums into one slow loop, and runs on one thread what it
    fuses into an update of a loop's carry. `static` are the positions of static arguments.
    """

    def decorate(function):
        jitted = jax.jit(function, static_argnums=static)
        # XLA's inliner leaves a call alone that says so.
        tagged = lambda *arguments: set_xla_metadata(jitted(*arguments), inlineable="false")
        return functools.wraps(function)(tagged)

    return decorate


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(x: jax.Array, kernel: jax.Array, stride: int, dilation: int) -> jax.Array:
    """Depthwise convolution as a sum of shifted products; size divided by `stride`, rounded up."""
    return _depthwise(x, kernel, stride, dilation)


@_apart(2, 3)
def _depthwise(x, kernel, stride, dilation):
    taps = _taps(x, kernel.shape[0], stride, dilation)
    return sum(tap * kernel[i, j] for (i, j), tap in taps)


def _depthwise_forward(x, kernel, stride, dilation):
    return _depthwise(x, kernel, stride, dilation), (x, kernel)


@_apart(0, 1)
def _depthwise_backward(stride, dilation, residuals, g):
    x, kernel = residuals
    size, (height, width) = kernel.shape[0], x.shape[1:3]
    dx = _depthwise(_spread(g, stride, height, width), kernel[::-1, ::-1], 1, dilation)
    padded = _pad(x, size, dilation)
    rows, columns = ((n - 1) * stride + 1 for n in g.shape[1:3])
    groups = math.gcd(len(x), GROUPS)
    parts = g.reshape(groups, -1, *g.shape[1:])

    # One tap at a time, and products summed over groups of images before they are stored: XLA
    # merges several taps into one slow loop, and stores each product that it reduces.
    def of_tap(tap):
        row, column = tap // size * dilation, tap % size * dilation
        product = 0
        for i, part in enumerate(parts):
            shape = (len(part), rows, columns, x.shape[3])
            window = lax.dynamic_slice(padded, (i * len(part), row, column, 0), shape)
            product += window[:, ::stride, ::stride] * part
        return jnp.sum(product, (0, 1, 2))

    return dx, lax.map(of_tap, jnp.arange(size * size)).reshape(kernel.shape)


depthwise.defvjp(_depthwise_forward, _depthwise_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def max_pool(x: jax.Array, stride: int) -> jax.Array:
    """3x3 maximum over an image padded by -inf; values that tie share the gradient."""
    return _max_pool(x, stride)


@_apart(1)
def _max_pool(x, stride):
    return functools.reduce(jnp.maximum, (tap for _, tap in _taps(x, 3, stride, 1, -jnp.inf)))


def _max_pool_forward(x, stride):
    top = _max_pool(x, stride)
    return top, (x, top)


@_apart(0)
def _max_pool_backward(stride, residuals, g):
    x, top = residuals
    height, width = x.shape[1:3]
    ties = sum(jnp.equal(tap, top) for _, tap in _taps(x, 3, stride, 1, -jnp.inf))
    shares = _spread(g / ties.astype(g.dtype), stride, height, width)
    tops = _spread(top, stride, height, width, jnp.inf)
    windows = zip(_taps(tops, 3, 1, 1, jnp.inf), _taps(shares, 3, 1, 1), strict=True)
    return (sum(jnp.where(t == x, s, 0) for (_, t), (_, s) in windows),)


max_pool.defvjp(_max_pool_forward, _max_pool_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def average_pool(x: jax.Array, stride: int) -> jax.Array:
    """3x3 mean over the pixels inside the image."""
    return _average_pool(x, stride)


@_apart(1)
def _average_pool(x, stride):
    return sum(tap for _, tap in _taps(x, 3, stride, 1)) / _inside(x, stride)


def _average_pool_forward(x, stride):
    return _average_pool(x, stride), x


@_apart(0)
def _average_pool_backward(stride, x, g):
    spread = _spread(g / _inside(x, stride), stride, *x.shape[1:3])
    return (sum(tap for _, tap in _taps(spread, 3, 1, 1)),)


average_pool.defvjp(_average_pool_forward, _average_pool_backward)


def _inside(x, stride):
    """How many pixels of each 3x3 window lie inside the image, `[H, W, 1]`."""
    rows, columns = (_neighbours(n, stride).astype(x.dtype) for n in x.shape[1:3])
    return (rows[:, None] * columns)[..., None]


def _neighbours(length, stride):
    """How many of the places n - 1, n, n + 1 lie inside, for every `stride`-th n."""
    n = jnp.arange(0, length, stride)
    return 1 + (n > 0) + (n < length - 1)


def pointwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """1x1 convolution as a matrix product; `kernel` is `[C, O]`."""
    return x[:, ::stride, ::stride] @ kernel


def convolution(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """Full convolution with padding (k - 1) / 2; at stride 2 the image's sides must be even.

    Stride 2 is stride 1 over an image whose 2x2 blocks are channels.
    """
    size = kernel.shape[0]
    if size == 1:
        return pointwise(x, kernel[0, 0], stride)
    before = (size - 1) // 2
    if stride == 1:
        return _convolution(x, kernel, before, size - 1 - before)
    pad = before % 2
    blocks = _to_depth(jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0))))
    grown = -(-size // 2) * 2 - size
    kernel = jnp.pad(kernel, ((0, grown), (0, grown), (0, 0), (0, 0)))
    folded = _kernel_to_depth(kernel)
    around = before // 2
    y = _convolution(blocks, folded, around, around)
    return y[:, : x.shape[1] // 2, : x.shape[2] // 2]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution(x, kernel, before, after):
    return _canonical(x, kernel, before, after)


def _canonical(x, kernel, before, after):
    dimensions = ("NHWC", "HWIO", "NHWC")
    padding = ((before, after), (before, after))
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=dimensions)


def _convolution_forward(x, kernel, before, after):
    return _canonical(x, kernel, before, after), (x, kernel)


def _convolution_backward(before, after, residuals, g):
    x, kernel = residuals
    last = kernel.shape[0] - 1
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    dx = _canonical(g, turned, last - before, last - after)
    dkernel = _canonical(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), before, after)
    return dx, dkernel.transpose(1, 2, 0, 3)


_convolution.defvjp(_convolution_forward, _convolution_backward)


def _to_depth(x):
    b, h, w, c = x.shape
    blocks = x.reshape(b, h // 2, 2, w // 2, 2, c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)


def _kernel_to_depth(kernel):
    k, _, i, o = kernel.shape
    blocks = kernel.reshape(k // 2, 2, k // 2, 2, i, o)
    return blocks.transpose(0, 2, 1, 3, 4, 5).reshape(k // 2, k // 2, 4 * i, o)


def _pad(x, size, dilation, value=0.0):
    margin = dilation * (size - 1) // 2
    around = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    return jnp.pad(x, around, constant_values=value)


def _taps(x, size, stride, dilation, value=0.0):
    """((row, column), the image as that tap of a kernel sees it) for every tap."""
    padded = _pad(x, size, dilation, value)
    b, h, w, c = x.shape
    for i in range(size):
        for j in range(size):
            top, left = i * dilation, j * dilation
            limits = (b, top + h, left + w, c)
            yield (i, j), lax.slice(padded, (0, top, left, 0), limits, (1, stride, stride, 1))


def _spread(x, stride, height, width, value=0.0):
    """Undoes striding: the pixels of `x` at every `stride`-th place of an image of `value`."""
    if stride == 1:
        return x
    edge = lambda n, small: (0, n - ((small - 1) * stride + 1), stride - 1)
    config = ((0, 0, 0), edge(height, x.shape[1]), edge(width, x.shape[2]), (0, 0, 0))
    return lax.pad(x, jnp.asarray(value, x.dtype), config)
