"""Depthwise convolution as a sum of shifted products, and its kernel's gradient."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnas.nets import adjoint
from jaxnas.nets.lowering import windows

# Up to so many channels a sum of taps is faster over flat images.
FEW = 7


def depthwise(
    x: jax.Array,
    kernel: jax.Array,
    stride: int,
    dilation: int,
    padding: windows.Padding = "symmetric",
) -> jax.Array:
    """Depthwise convolution as a sum of shifted products; size divided by `stride`, rounded up."""
    run = functools.partial(_depthwise, stride=stride, dilation=dilation)
    return windows.with_padding(lambda x: run(x, kernel), x, stride, padding)


def _shifted_sum(x, kernel, *, stride, dilation):
    # Padded first, in a separate kernel: the taps then read without a test for borders.
    padded = windows.pad(x, len(kernel), dilation)
    if stride > 1 or x.shape[3] > FEW:
        return _sum_of_taps(padded, kernel, stride=stride, dilation=dilation, columns=1)
    tiled = _tiled(kernel, width=x.shape[2])
    settings = {"stride": 1, "dilation": dilation, "columns": x.shape[3]}
    return _sum_of_taps(windows.flat(padded), tiled, **settings).reshape(x.shape)


def _weighted_taps(padded, kernel, *, stride, dilation, columns):
    taps = windows.taps(padded, len(kernel), stride, dilation, columns)
    return sum(tap * kernel[i, j] for (i, j), tap in taps)


def _depthwise_to_image(g, kernel, shape, *, stride, dilation):
    spread = windows.spread(g, stride, *shape[1:3])
    return _depthwise(spread, kernel[::-1, ::-1], stride=1, dilation=dilation)


def _depthwise_to_kernel(g, x, shape, *, stride, dilation):
    return _kernel_gradient(x, g, size=shape[0], stride=stride, dilation=dilation)


def _correlate(x, g, *, size, stride, dilation):
    """The kernel's gradient, `[size, size, C]`, from the image and the output's."""
    padded, channels, columns = windows.pad(x, size, dilation), x.shape[3], 1
    if stride == 1 and channels < windows.NARROW:
        padded, g, columns = windows.flat(padded), windows.flat(g), channels

    # One tap at a time: XLA would merge the reductions of several taps into one slow loop.
    def of_tap(corner):
        products = _products(padded, g, *corner, stride=stride)
        if columns == 1:
            return jnp.sum(products, (0, 1, 2))
        return jnp.sum(jnp.sum(products, (0, 1)).reshape(-1, channels), 0)

    rows, lefts = dilation * np.indices((size, size)).reshape(2, -1)
    return lax.map(of_tap, (rows, columns * lefts)).reshape(size, size, -1)


def _window_products(padded, g, row, column, *, stride):
    """The window at a corner times `g`, summed over groups of images before it is stored."""
    rows, columns = ((n - 1) * stride + 1 for n in g.shape[1:3])
    total = 0
    for i, part in enumerate(g.reshape(math.gcd(len(g), windows.GROUPS), -1, *g.shape[1:])):
        shape = (len(part), rows, columns, g.shape[3])
        window = lax.dynamic_slice(padded, (i * len(part), row, column, 0), shape)
        total += window[:, ::stride, ::stride] * part
    return total


def _correlate_to_image(kernel, g, shape, *, size, stride, dilation):
    return _depthwise_to_image(g, kernel, shape, stride=stride, dilation=dilation)


def _correlate_to_output(kernel, x, shape, *, size, stride, dilation):
    return _depthwise(x, kernel, stride=stride, dilation=dilation)


def _tile(kernel, *, width):
    """The kernel for flat images: `[k, k, W * C, 1]`."""
    return jnp.tile(kernel, (1, 1, width))[..., None]


# A separate kernel, too: tiled where it is used, a sum of taps takes five times longer.
_tiled = adjoint.standalone("tiled_kernel", _tile)
_products = adjoint.standalone("window_products", _window_products)
_sum_of_taps = adjoint.standalone("weighted_taps", _weighted_taps)
_depthwise = adjoint.bilinear("depthwise", _shifted_sum, _depthwise_to_image, _depthwise_to_kernel)
_kernel_gradient = adjoint.bilinear(
    "depthwise_kernel_gradient", _correlate, _correlate_to_image, _correlate_to_output
)
