"""Lowerings of convolutions and pooling that XLA compiles to few, fast operations.

Images are `[B, H, W, C]`, kernels `[k, k, C]` (depthwise) or `[k, k, C, O]` (full). XLA runs
grouped convolutions on the CPU, and the gradients of full ones inside its loops
(jax-ml/jax#12868), 5 to 80 times slower than the forms below; figures are in docs/performance.md.
None of them scatters, so their gradients are deterministic on every backend.
"""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnas.nets import adjoint

# Groups of images of a batch over which a kernel's gradient is summed first.
GROUPS = 8
# Of convolutions: that of torch, the same on both sides, or TensorFlow's 'same', which at stride 2
# has its windows one pixel later on even sides.
Padding = Literal["symmetric", "same"]


def blank(x: jax.Array, features: int, stride: int) -> jax.Array:
    """The output of a layer while its weights are made, when only its shape matters.

    To trace hundreds of layers that nobody runs was half of what `init` and counting took.
    """
    batch, height, width, _ = x.shape
    return jnp.zeros((batch, -(-height // stride), -(-width // stride), features), x.dtype)


def depthwise(
    x: jax.Array, kernel: jax.Array, stride: int, dilation: int, padding: Padding = "symmetric"
) -> jax.Array:
    """Depthwise convolution as a sum of shifted products; size divided by `stride`, rounded up."""
    run = functools.partial(_depthwise, stride=stride, dilation=dilation)
    return _with_padding(lambda x: run(x, kernel), x, stride, padding)


def max_pool(x: jax.Array, stride: int) -> jax.Array:
    """3x3 maximum over an image padded by -inf; values that tie share the gradient."""
    return _max_pool(x, stride=stride)


def average_pool(x: jax.Array, stride: int) -> jax.Array:
    """3x3 mean over the pixels inside the image."""
    return _average_pool(x, stride=stride)


def pointwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """1x1 convolution as a matrix product; `kernel` is `[C, O]`."""
    return _pointwise(x[:, ::stride, ::stride], kernel)


def convolution(
    x: jax.Array, kernel: jax.Array, stride: int = 1, padding: Padding = "symmetric"
) -> jax.Array:
    """Full convolution padded by (k - 1) / 2, for stride 1 or 2 and odd kernels."""
    return _with_padding(lambda x: _full(x, kernel, stride), x, stride, padding)


def _with_padding(
    run: Callable[[jax.Array], jax.Array], x: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """`run(x)`, a convolution with symmetric padding, with the given padding instead."""
    late = [padding == "same" and stride == 2 and n % 2 == 0 for n in x.shape[1:3]]
    if any(late):
        # A zero in front, without the first window: all windows begin one pixel later.
        x = jnp.pad(x, ((0, 0), *((int(n), 0) for n in late), (0, 0)))
    return run(x)[:, int(late[0]) :, int(late[1]) :]


def _full(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Stride 2 is stride 1 over an image whose 2x2 blocks are channels."""
    size = kernel.shape[0]
    if size == 1:
        return pointwise(x, kernel[0, 0], stride)
    before = (size - 1) // 2
    if stride == 1:
        return _convolution(x, kernel, before=before, after=before)
    height, width = (-(-n // 2) for n in x.shape[1:3])
    margin = before % 2
    ends = [
        (margin, 2 * half - n + margin)
        for half, n in zip((height, width), x.shape[1:3], strict=True)
    ]
    blocks = _to_depth(jnp.pad(x, ((0, 0), *ends, (0, 0))))
    kernel = jnp.pad(kernel, ((0, 1), (0, 1), (0, 0), (0, 0)))
    y = _convolution(blocks, _kernel_to_depth(kernel), before=before // 2, after=before // 2)
    return y[:, :height, :width]


def _shifted_sum(x, kernel, *, stride, dilation):
    # Padded first, in a separate kernel: the taps then read without a test for borders.
    if stride == 1 and x.shape[-1] < 8:
        padded = _as_rows(_pad(x, len(kernel), dilation))
        tiled = _tiled(kernel, width=x.shape[2])
        settings = {"height": x.shape[1], "dilation": dilation, "channels": x.shape[3]}
        return _sum_of_row_taps(padded, tiled, **settings).reshape(x.shape)
    return _sum_of_taps(_pad(x, len(kernel), dilation), kernel, stride=stride, dilation=dilation)


def _weighted_taps(padded, kernel, *, stride, dilation):
    taps = _taps(padded, len(kernel), stride, dilation)
    return sum(tap * kernel[i, j] for (i, j), tap in taps)


def _depthwise_to_image(g, kernel, shape, *, stride, dilation):
    spread = _spread(g, stride, *shape[1:3])
    return _depthwise(spread, kernel[::-1, ::-1], stride=1, dilation=dilation)


def _depthwise_to_kernel(g, x, shape, *, stride, dilation):
    return _kernel_gradient(x, g, size=shape[0], stride=stride, dilation=dilation)


def _correlate(x, g, *, size, stride, dilation):
    """The kernel's gradient, `[size, size, C]`, from the image and the output's."""
    padded = _pad(x, size, dilation)
    if stride == 1 and x.shape[-1] < 16:
        _, _, w, c = x.shape
        rows, g = _as_rows(padded), _as_rows(g)

        def of_row(row):
            products = [
                _row_products(rows, g, row * dilation, j * dilation * c) for j in range(size)
            ]
            sums = jnp.stack([y.sum((0, 1)) for y in products])
            return sums.reshape(size, w, c).sum(1)

        return lax.map(of_row, jnp.arange(size))

    # One tap at a time: XLA would merge the reductions of several taps into one slow loop.
    def of_tap(corner):
        return jnp.sum(_products(padded, g, *corner, stride=stride), (0, 1, 2))

    corners = np.indices((size, size)).reshape(2, -1) * dilation
    return lax.map(of_tap, tuple(corners)).reshape(size, size, -1)


def _window_products(padded, g, row, column, *, stride):
    """The window at a corner times `g`, summed over groups of images before it is stored."""
    rows, columns = ((n - 1) * stride + 1 for n in g.shape[1:3])
    total = 0
    for i, part in enumerate(g.reshape(math.gcd(len(g), GROUPS), -1, *g.shape[1:])):
        shape = (len(part), rows, columns, g.shape[3])
        window = lax.dynamic_slice(padded, (i * len(part), row, column, 0), shape)
        total += window[:, ::stride, ::stride] * part
    return total


def _correlate_to_image(kernel, g, shape, *, size, stride, dilation):
    return _depthwise_to_image(g, kernel, shape, stride=stride, dilation=dilation)


def _correlate_to_output(kernel, x, shape, *, size, stride, dilation):
    return _depthwise(x, kernel, stride=stride, dilation=dilation)


def _as_rows(x):
    """[B, H, W * C]: a shift along the width is a shift of the last axis."""
    return x.reshape(*x.shape[:2], -1)


def _weighted_row_taps(rows, tiled, *, height, dilation, channels):
    total, (size, _, width) = 0, tiled.shape
    for i in range(size):
        for j in range(size):
            top, left = i * dilation, j * dilation * channels
            taps = lax.slice(rows, (0, top, left), (len(rows), top + height, left + width))
            total += taps * tiled[i, j]
    return total


def _row_window_products(rows, g, row, column):
    total = 0
    for i, part in enumerate(g.reshape(math.gcd(len(g), GROUPS), -1, *g.shape[1:])):
        total += lax.dynamic_slice(rows, (i * len(part), row, column), part.shape) * part
    return total


_sum_of_row_taps = adjoint.standalone("weighted_row_taps", _weighted_row_taps)
_tiled = adjoint.standalone("tiled", lambda kernel, *, width: jnp.tile(kernel, (1, 1, width)))
_row_products = adjoint.standalone("row_window_products", _row_window_products)
_products = adjoint.standalone("window_products", _window_products)
_sum_of_taps = adjoint.standalone("weighted_taps", _weighted_taps)
_depthwise = adjoint.bilinear("depthwise", _shifted_sum, _depthwise_to_image, _depthwise_to_kernel)
_kernel_gradient = adjoint.bilinear(
    "depthwise_kernel_gradient", _correlate, _correlate_to_image, _correlate_to_output
)


def _around(x, value=0.0):
    return _pad(x, 3, 1, value)


# A product's adjoint to the right is written so that neither factor is copied.
_pointwise = adjoint.bilinear(
    "pointwise",
    lambda x, kernel: x @ kernel,
    lambda g, kernel, shape: g @ kernel.T,
    lambda g, x, shape: (g.reshape(-1, shape[1]).T @ x.reshape(-1, shape[0])).T,
)


# An image and its maxima are compared bit by bit, so each kernel takes the unpadded image: else XLA
# might compute the image twice, with different rounding.
def _maxima(x, *, stride):
    taps = _taps(_around(x, -jnp.inf), 3, stride, 1)
    return functools.reduce(jnp.maximum, (tap for _, tap in taps))


def _tangent_of_maxima(t, x, top, *, stride):
    """The tangent at each maximum for one `t` of the image: the mean over those that tie."""
    tangents = _taps(_around(t), 3, stride, 1)
    pairs = zip(_taps(_around(x, -jnp.inf), 3, stride, 1), tangents, strict=True)
    tied = [(tap == top, tangent) for (_, tap), (_, tangent) in pairs]
    total = sum(jnp.where(ties, tangent, 0) for ties, tangent in tied)
    return total / sum(ties.astype(t.dtype) for ties, _ in tied)


def _cotangent_of_image(g, x, top, *, stride, shape):
    taps = _taps(_around(x, -jnp.inf), 3, stride, 1)
    shares = g / sum((tap == top).astype(g.dtype) for _, tap in taps)
    shares = _around(_spread(shares, stride, *shape[1:3]))
    tops = _around(_spread(top, stride, *shape[1:3], jnp.inf), jnp.inf)
    windows = zip(_taps(tops, 3, 1, 1), _taps(shares, 3, 1, 1), strict=True)
    return sum(jnp.where(top == x, share, 0) for (_, top), (_, share) in windows)


_route = adjoint.linear(
    "route_to_maximum",
    adjoint.standalone("change_of_tops", _tangent_of_maxima),
    adjoint.standalone("share_of_tops", _cotangent_of_image),
)
_max_pool = adjoint.piecewise_linear("max_pool", _maxima, _route)

_sum_around = adjoint.standalone(
    "sum_around", lambda x, *, stride: sum(t for _, t in _taps(x, 3, stride, 1))
)


def _mean_inside(x, *, stride):
    return _sum_around(_around(x), stride=stride) / _inside(x.shape, stride, x.dtype)


def _to_means(g, *, stride, shape):
    spread = _spread(g / _inside(shape, stride, g.dtype), stride, *shape[1:3])
    return _sum_around(_around(spread), stride=1)


def _inside(shape, stride, dtype):
    """How many pixels of each 3x3 window lie inside the image, `[H, W, 1]`."""
    count = lambda length: (lambda n: 1 + (n > 0) + (n < length - 1))(jnp.arange(0, length, stride))
    rows, columns = (count(n).astype(dtype) for n in shape[1:3])
    return (rows[:, None] * columns)[..., None]


_average_pool = adjoint.linear("average_pool", _mean_inside, _to_means)


def _canonical(x, kernel, *, before, after):
    dimensions = ("NHWC", "HWIO", "NHWC")
    padding = ((before, after), (before, after))
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=dimensions)


# Both adjoints are again stride-1 convolutions in XLA's fast layout: inside a loop XLA:CPU would
# leave the derived ones in a slow one.
def _convolution_to_image(g, kernel, shape, *, before, after):
    last = kernel.shape[0] - 1
    turned = kernel[::-1, ::-1].transpose(0, 1, 3, 2)
    return _convolution(g, turned, before=last - before, after=last - after)


def _convolution_to_kernel(g, x, shape, *, before, after):
    if shape[0] == 3 and before == after == 1:
        return _kernel_gradient_3x3(x, g)
    images, outputs = x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)
    return _convolution(images, outputs, before=before, after=after).transpose(1, 2, 0, 3)


def _kernel_gradient_3x3(x, g):
    """One product of three vertical shifts of the image by three horizontal ones of `g`."""
    batch, height, width, inputs = x.shape
    outputs, groups = g.shape[-1], math.gcd(batch, GROUPS)
    tall = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    wide = jnp.pad(g, ((0, 0), (0, 0), (1, 1), (0, 0)))
    rows = jnp.concatenate([tall[:, i : i + height] for i in range(3)], -1)
    columns = jnp.concatenate([wide[:, :, 2 - j : 2 - j + width] for j in range(3)], -1)
    left, right = (y.reshape(groups, -1, y.shape[-1]) for y in (rows, columns))
    product = lax.dot_general(left, right, (((1,), (1,)), ((0,), (0,)))).sum(0)
    return product.reshape(3, inputs, 3, outputs).transpose(0, 2, 1, 3)


_convolution = adjoint.bilinear(
    "convolution", _canonical, _convolution_to_image, _convolution_to_kernel
)


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
    if x.shape[-1] < 16 or x.size <= 2**16:
        b, h, w, c = x.shape
        border = lambda *shape: jnp.full(shape, value, x.dtype)
        sides = border(b, h, margin * c)
        rows = jnp.concatenate([sides, _as_rows(x), sides], 2)
        ends = border(b, margin, rows.shape[2])
        rows = jnp.concatenate([ends, rows, ends], 1)
        return rows.reshape(b, h + 2 * margin, w + 2 * margin, c)
    around = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    return jnp.pad(x, around, constant_values=value)


def _taps(padded, size, stride, dilation) -> Iterator[tuple[tuple[int, int], jax.Array]]:
    """((row, column), the image at that tap of a kernel) for every tap."""
    b, h, w, c = padded.shape
    beyond = dilation * (size - 1)
    for i in range(size):
        for j in range(size):
            top, left = i * dilation, j * dilation
            limits = (b, top + h - beyond, left + w - beyond, c)
            yield (i, j), lax.slice(padded, (0, top, left, 0), limits, (1, stride, stride, 1))


def _spread(x, stride, height, width, value=0.0):
    """Undoes striding: the pixels of `x` at every `stride`-th place of an image of `value`."""
    if stride == 1:
        return x
    edge = lambda n, small: (0, n - ((small - 1) * stride + 1), stride - 1)
    config = ((0, 0, 0), edge(height, x.shape[1]), edge(width, x.shape[2]), (0, 0, 0))
    return lax.pad(x, jnp.asarray(value, x.dtype), config)
