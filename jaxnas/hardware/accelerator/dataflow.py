"""Dataflows: which two loops of a layer an array of processing elements runs side by side.

The templates that NASAIC chooses from, https://arxiv.org/abs/2002.04116: NVDLA's, ShiDianNao's and
a row-stationary one as in Eyeriss (the loops from memory).
"""

from typing import NamedTuple

import numpy as np

from jaxnas.hardware.accelerator.layer import LoopNest

DATAFLOWS = ("weight_stationary", "output_stationary", "row_stationary")


class Tiles(NamedTuple):
    """Ways to lay a layer on an array: one entry each."""

    cycles: np.ndarray  # i64[ways]: one multiply-accumulate an element and cycle
    accesses: np.ndarray  # f64[ways]: words between the buffer and the array


def spatial_loops(dataflow: str, layer: LoopNest) -> tuple[int, int]:
    """The lengths of the two loops that are unrolled over the array.

    Weights stationary: output and input channels; outputs stationary: height and width of the
    output; rows stationary: rows of the kernel and of the output. Raises ValueError for another.
    """
    loops = {
        "weight_stationary": (layer.outputs, layer.inputs),
        "output_stationary": (layer.height, layer.width),
        "row_stationary": (layer.kernel[0], layer.height),
    }
    if dataflow not in loops:
        raise ValueError(f"No dataflow is called {dataflow!r}; there are {', '.join(loops)}.")
    return loops[dataflow]


def tiles(dataflow: str, layer: LoopNest, elements: int) -> Tiles:
    """All ways to lay a layer on `elements` processing elements: a x b of the two loops.

    Cycles are the other loops' length times ceil(A / a) ceil(B / b): edges of the loops leave
    elements idle. Of three operands one is kept in the elements and read once; the other two are
    shared along one side of the array each. More elements allow what fewer do, too.
    """
    first, second = spatial_loops(dataflow, layer)
    a = np.arange(1, min(first, elements) + 1)
    b = np.minimum(second, elements // a)
    rest = layer.macs // (first * second)
    cycles = rest * -(-first // a) * -(-second // b)
    kept = {
        "weight_stationary": layer.groups * layer.outputs * layer.inputs
        * layer.kernel[0] * layer.kernel[1],
        "output_stationary": layer.groups * layer.outputs * layer.height * layer.width,
        "row_stationary": layer.groups * layer.outputs * layer.inputs
        * layer.kernel[0] * layer.kernel[1],
    }[dataflow]  # fmt: skip
    return Tiles(cycles, kept + layer.macs / a + layer.macs / b)
