"""A space with an operation of our own: MobileNetV2's inverted bottleneck.

jaxnas check docs/examples/my_space.py
"""

import flax.linen as nn

from jaxnas import space
from jaxnas.nets import ops


class InvertedBottleneck(nn.Module):
    """Widen by a 1x1 convolution, look around by a depthwise one, narrow again."""

    features: int
    stride: int
    norm: ops.Norm
    expansion: int

    @nn.compact
    def __call__(self, x):
        wide = self.expansion * self.features
        x = nn.relu(self.norm(name="norm_0")(ops.Pointwise(wide, name="widen")(x)))
        x = nn.relu(self.norm(name="norm_1")(ops.Depthwise(3, self.stride, name="look")(x)))
        return self.norm(name="norm_2")(ops.Pointwise(self.features, name="narrow")(x))


def bottleneck(expansion):
    return lambda features, stride, norm: InvertedBottleneck(features, stride, norm, expansion)


CANDIDATES = dict(ops.DARTS) | {"bottleneck_x3": bottleneck(3), "bottleneck_x6": bottleneck(6)}
SPACE = space.darts(nodes=2, candidates=("none", "skip_connect", "bottleneck_x3", "bottleneck_x6"))
