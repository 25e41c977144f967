"""Candidate operations of the hypercuboid, which may change the width.

https://arxiv.org/abs/1903.09900, ahundt/sharpDARTS cnn/model_search.py (MultiChannelNetwork).
"""

import functools
from collections.abc import Callable

import flax.linen as nn

from jaxnas.nets import ops
from jaxnas.spaces.darts import sharp_ops


class ResizingPool(nn.Module):
    """3x3 pooling, followed by a 1x1 convolution and normalisation if the width changes."""

    features: int
    stride: int
    norm: ops.Norm
    pool: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x):
        y = self.pool(self.features, self.stride, None)(x)
        if x.shape[-1] == self.features:
            return y
        return self.norm(name="norm")(ops.Pointwise(self.features, name="pointwise")(y))


def resizing(pool: Callable[..., nn.Module]) -> ops.OpFactory:
    """Makes `ResizingPool`s of a pool of `nets.ops`."""
    return functools.partial(ResizingPool, pool=pool)


# Candidates that may change the width.
OPS: ops.Ops = dict(sharp_ops.CONVOLUTIONS) | {
    "max_pool_3x3": resizing(ops.max_pool_3x3),
    "avg_pool_3x3": resizing(ops.avg_pool_3x3),
}
