"""Images with borders, their windows under the taps of a kernel, and strides undone."""

from collections.abc import Callable, Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

# Below so many channels vectors are as long as rows of an image, not as its channels.
NARROW = 16
# Up to so many values an image with borders is made as if it were narrow.
SMALL = 2**16
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


def with_padding(
    run: Callable[[jax.Array], jax.Array], x: jax.Array, stride: int, padding: Padding
) -> jax.Array:
    """`run(x)`, a convolution with symmetric padding, with the given padding instead."""
    late = [padding == "same" and stride == 2 and n % 2 == 0 for n in x.shape[1:3]]
    if any(late):
        # A zero in front, without the first window: all windows begin one pixel later.
        x = jnp.pad(x, ((0, 0), *((int(n), 0) for n in late), (0, 0)))
    return run(x)[:, int(late[0]) :, int(late[1]) :]


def flat(x: jax.Array) -> jax.Array:
    """`[B, H, W * C, 1]`: a shift by one pixel along the width is one by C."""
    return x.reshape(*x.shape[:2], -1, 1)


def pad(x: jax.Array, size: int, dilation: int, value: float = 0.0) -> jax.Array:
    """The image with borders of `value` for a kernel of that size."""
    margin = dilation * (size - 1) // 2
    batch, height, width, channels = x.shape
    if channels >= NARROW and x.size > SMALL:
        around = ((0, 0), (margin, margin), (margin, margin), (0, 0))
        return jnp.pad(x, around, constant_values=value)
    # XLA pads element by element, which takes two to three times as long as to concatenate.
    border = lambda rows, columns: jnp.full((batch, rows, columns * channels, 1), value, x.dtype)
    wide = jnp.concatenate([border(height, margin), flat(x), border(height, margin)], 2)
    ends = border(margin, width + 2 * margin)
    return jnp.concatenate([ends, wide, ends], 1).reshape(batch, -1, width + 2 * margin, channels)


def taps(
    padded: jax.Array, size: int, stride: int, dilation: int, columns: int = 1
) -> Iterator[tuple[tuple[int, int], jax.Array]]:
    """((row, column), the image at that tap of a kernel) for every tap.

    A pixel is `columns` wide: of a flat image, as many as it had channels.
    """
    b, h, w, c = padded.shape
    beyond = dilation * (size - 1)
    for i in range(size):
        for j in range(size):
            top, left = i * dilation, j * dilation * columns
            limits = (b, top + h - beyond, left + w - beyond * columns, c)
            yield (i, j), lax.slice(padded, (0, top, left, 0), limits, (1, stride, stride, 1))


def spread(x: jax.Array, stride: int, height: int, width: int, value: float = 0.0) -> jax.Array:
    """Undoes striding: the pixels of `x` at every `stride`-th place of an image of `value`."""
    if stride == 1:
        return x
    edge = lambda n, small: (0, n - ((small - 1) * stride + 1), stride - 1)
    config = ((0, 0, 0), edge(height, x.shape[1]), edge(width, x.shape[2]), (0, 0, 0))
    return lax.pad(x, jnp.asarray(value, x.dtype), config)
