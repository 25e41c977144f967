"""A layer as an accelerator sees it: a nest of loops."""

from typing import NamedTuple

from jaxnas.core.types import Network
from jaxnas.nets import count


class LoopNest(NamedTuple):
    """A convolution, or a linear layer as one of a single pixel, of one image."""

    outputs: int  # channels, of a group
    inputs: int  # channels, of a group
    height: int  # of the output
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    groups: int = 1  # of channels that are convolved apart; depthwise: one a channel

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        window = self.kernel[0] * self.kernel[1]
        return self.groups * self.outputs * self.inputs * self.height * self.width * window

    @property
    def words(self) -> int:
        """Weights, inputs and outputs; the image is as large as stride and output say."""
        window = self.kernel[0] * self.kernel[1]
        pixels = self.height * self.width
        each = self.outputs * self.inputs * window + self.outputs * pixels
        return self.groups * (each + self.inputs * pixels * self.stride**2)


def of_network(net: Network, image: tuple[int, int, int]) -> list[LoopNest]:
    """The layers of a network for an image (height, width, channels), in order, by tracing.

    Modules with a kernel [height, width, inputs, outputs], [height, width, channels] (depthwise) or
    [inputs, outputs] count; normalisations, pools and sums do not.
    """
    return [of_call(*shapes) for shapes in count.kernel_calls(net, image)]


def of_call(kernel: tuple[int, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]) -> LoopNest:
    """The layer of a kernel's shape and of images [1, height, width, channels] or rows [1, n]."""
    if len(kernel) == 2:
        return LoopNest(kernel[1], kernel[0], 1, 1)
    height, width = outputs[1:3]
    stride = max(1, round(inputs[1] / height))
    if len(kernel) == 3:
        return LoopNest(1, 1, height, width, kernel[:2], stride, groups=kernel[2])
    groups = inputs[3] // kernel[2]
    return LoopNest(kernel[3] // groups, kernel[2], height, width, kernel[:2], stride, groups)
