"""3x3 maxima and means, and their adjoints."""

import functools

import jax
import jax.numpy as jnp

from jaxnas.nets import adjoint
from jaxnas.nets.lowering import windows


def max_pool(x: jax.Array, stride: int) -> jax.Array:
    """3x3 maximum over an image padded by -inf; values that tie share the gradient."""
    return _max_pool(x, stride=stride)


def average_pool(x: jax.Array, stride: int) -> jax.Array:
    """3x3 mean over the pixels inside the image."""
    return _average_pool(x, stride=stride)


def _around(x, value=0.0):
    return windows.pad(x, 3, 1, value)


# An image and its maxima are compared bit by bit, so each kernel takes the unpadded image: else XLA
# might compute the image twice, with different rounding.
def _maxima(x, *, stride):
    taps = windows.taps(_around(x, -jnp.inf), 3, stride, 1)
    return functools.reduce(jnp.maximum, (tap for _, tap in taps))


def _tangent_of_maxima(t, x, top, *, stride):
    """The tangent at each maximum for one `t` of the image: the mean over those that tie."""
    tangents = windows.taps(_around(t), 3, stride, 1)
    pairs = zip(windows.taps(_around(x, -jnp.inf), 3, stride, 1), tangents, strict=True)
    tied = [(tap == top, tangent) for (_, tap), (_, tangent) in pairs]
    total = sum(jnp.where(ties, tangent, 0) for ties, tangent in tied)
    return total / sum(ties.astype(t.dtype) for ties, _ in tied)


def _cotangent_of_image(g, x, top, *, stride, shape):
    taps = windows.taps(_around(x, -jnp.inf), 3, stride, 1)
    shares = g / sum((tap == top).astype(g.dtype) for _, tap in taps)
    shares = _around(windows.spread(shares, stride, *shape[1:3]))
    tops = _around(windows.spread(top, stride, *shape[1:3], jnp.inf), jnp.inf)
    pairs = zip(windows.taps(tops, 3, 1, 1), windows.taps(shares, 3, 1, 1), strict=True)
    return sum(jnp.where(top == x, share, 0) for (_, top), (_, share) in pairs)


_route = adjoint.linear(
    "route_to_maximum",
    adjoint.standalone("change_of_tops", _tangent_of_maxima),
    adjoint.standalone("share_of_tops", _cotangent_of_image),
)
_max_pool = adjoint.piecewise_linear("max_pool", _maxima, _route)

_sum_around = adjoint.standalone(
    "sum_around", lambda x, *, stride: sum(t for _, t in windows.taps(x, 3, stride, 1))
)


def _mean_inside(x, *, stride):
    return _sum_around(_around(x), stride=stride) / _inside(x.shape, stride, x.dtype)


def _to_means(g, *, stride, shape):
    spread = windows.spread(g / _inside(shape, stride, g.dtype), stride, *shape[1:3])
    return _sum_around(_around(spread), stride=1)


def _inside(shape, stride, dtype):
    """How many pixels of each 3x3 window lie inside the image, `[H, W, 1]`."""
    count = lambda length: (lambda n: 1 + (n > 0) + (n < length - 1))(jnp.arange(0, length, stride))
    rows, columns = (count(n).astype(dtype) for n in shape[1:3])
    return (rows[:, None] * columns)[..., None]


_average_pool = adjoint.linear("average_pool", _mean_inside, _to_means)
