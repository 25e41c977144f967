"""Full convolutions of stride 1 and 2, and 1x1 ones as matrix products."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxnas.nets import adjoint
from jaxnas.nets.lowering import windows


def pointwise(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """1x1 convolution as a matrix product; `kernel` is `[C, O]`."""
    return _pointwise(x[:, ::stride, ::stride], kernel)


def convolution(
    x: jax.Array, kernel: jax.Array, stride: int = 1, padding: windows.Padding = "symmetric"
) -> jax.Array:
    """Full convolution padded by (k - 1) / 2, for stride 1 or 2 and odd kernels."""
    return windows.with_padding(lambda x: _full(x, kernel, stride), x, stride, padding)


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


# A product's adjoint to the right is written so that neither factor is copied.
_pointwise = adjoint.bilinear(
    "pointwise",
    lambda x, kernel: x @ kernel,
    lambda g, kernel, shape: g @ kernel.T,
    lambda g, x, shape: (g.reshape(-1, shape[1]).T @ x.reshape(-1, shape[0])).T,
)


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
    outputs, groups = g.shape[-1], math.gcd(batch, windows.GROUPS)
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
