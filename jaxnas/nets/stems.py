"""Stems: the convolutions before the cells, one for CIFAR and two for ImageNet.

https://arxiv.org/abs/1806.09055, quark0/darts cnn/model.py; search networks for ImageNet begin with
the latter, too (yuhuixu1993/PC-DARTS model_search_imagenet.py).
"""

import flax.linen as nn

from jaxnas.nets import ops

IMAGENET_DIVISOR = 8  # of the sides, which three convolutions halve


class Stem(nn.Module):
    """One 3x3 convolution at full size and normalisation, no ReLU (cells begin with one)."""

    features: int
    norm: ops.Norm

    @nn.compact
    def __call__(self, x):
        x = ops.Convolution(self.features, 3, name="convolution")(x)
        return self.norm(name="norm")(x)


class HalvingStem(nn.Module):
    """ImageNet's first: two 3x3 convolutions, each halves the size."""

    features: int
    norm: ops.Norm

    @nn.compact
    def __call__(self, x):
        x = ops.Convolution(self.features // 2, 3, 2, name="convolution_0")(x)
        x = nn.relu(self.norm(name="norm_0")(x))
        x = ops.Convolution(self.features, 3, 2, name="convolution_1")(x)
        return self.norm(name="norm_1")(x)


class SecondStem(nn.Module):
    """ImageNet's second: one 3x3 convolution halves the size again."""

    features: int
    norm: ops.Norm

    @nn.compact
    def __call__(self, x):
        x = ops.Convolution(self.features, 3, 2, name="convolution")(nn.relu(x))
        return self.norm(name="norm")(x)


def check_image(height: int, width: int, halvings: int, imagenet: bool) -> None:
    """Raises ValueError for sides that the stems do not divide, or that end below one pixel."""
    divisor = IMAGENET_DIVISOR if imagenet else 1
    if height % divisor or width % divisor:
        raise ValueError(f"The stems divide {height}x{width} pixels by {divisor}: resize them.")
    side = min(height, width) // divisor
    if side < 2**halvings:
        raise ValueError(
            f"{halvings} reductions shrink {side} pixels below one: give fewer `reductions`."
        )
