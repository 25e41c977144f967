"""sharpDARTS's operations: separable convolutions whose middle has another width.

https://arxiv.org/abs/1903.09900, ahundt/sharpDARTS cnn/operations.py, whose names they keep; its
`dil_conv_*` are other operations than DARTS's.
"""

import functools

import flax.linen as nn

from jaxnas.nets import ops
from jaxnas.nets.batch_norm import Norm

CHOKED = 32  # channels in the middle of `choke_conv_*`


class SharpConv(nn.Module):
    """Twice: ReLU, depthwise, pointwise, normalisation; the first may stride and dilate.

    Between the two there are `middle` features, by default `widen` times `features`.
    """

    features: int
    stride: int
    norm: Norm
    size: int
    dilation: int = 1
    widen: int = 1
    middle: int | None = None  # None: by `widen`

    @nn.compact
    def __call__(self, x):
        middle = self.middle or self.widen * self.features
        for i, (features, stride, dilation) in enumerate(
            ((middle, self.stride, self.dilation), (self.features, 1, 1))
        ):
            x = ops.Depthwise(self.size, stride, dilation, name=f"depthwise_{i}")(nn.relu(x))
            x = ops.Pointwise(features, name=f"pointwise_{i}")(x)
            x = self.norm(name=f"norm_{i}")(x)
        return x


def sharp(size: int, **settings: int) -> ops.OpFactory:
    """Makes `SharpConv`s of k x k kernels with these settings."""
    return functools.partial(SharpConv, size=size, **settings)


CONVOLUTIONS: ops.Ops = {
    "sep_conv_3x3": sharp(3),
    "sep_conv_5x5": sharp(5),
    "sep_conv_7x7": sharp(7),
    "dil_conv_3x3": sharp(3, dilation=2),
    "dil_conv_5x5": sharp(5, dilation=2),
    "flood_conv_3x3": sharp(3, widen=4),
    "flood_conv_5x5": sharp(5, widen=4),
    "dil_flood_conv_3x3": sharp(3, dilation=2, widen=4),
    "dil_flood_conv_5x5": sharp(5, dilation=2, widen=4),
    "choke_conv_3x3": sharp(3, middle=CHOKED),
    "dil_choke_conv_3x3": sharp(3, dilation=2, middle=CHOKED),
}
OPS: ops.Ops = dict(ops.DARTS) | CONVOLUTIONS
# A derived network normalises no pools.
DERIVED: ops.Ops = dict(ops.DARTS_DERIVED) | CONVOLUTIONS
