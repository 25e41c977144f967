"""Accelerators of several arrays of processing elements as designs, under totals.

NASAIC, https://arxiv.org/abs/2002.04116: 4,096 elements and 64 GB/s in all (from memory).
"""

from collections.abc import Sequence

import numpy as np

from jaxnas.hardware.accelerator.dataflow import DATAFLOWS
from jaxnas.strategies.designs import combine, design_space
from jaxnas.strategies.designs.design_space import Designs, DesignSpace

ELEMENTS = (256, 512, 1024, 2048, 3072)
BANDWIDTHS = (8, 16, 32, 48)  # GB/s


def accelerators(
    arrays: int,
    elements: Sequence[int] = ELEMENTS,
    bandwidths: Sequence[float] = BANDWIDTHS,
    most_elements: int = 4096,
    most_bandwidth: float = 64,
) -> DesignSpace:
    """Dataflow, elements and bandwidth of each array, named `0.dataflow` and so on.

    Designs whose totals exceed the limits are not valid. Raises ValueError for no array, and where
    the smallest arrays exceed the totals.
    """
    if arrays < 1 or arrays * min(elements) > most_elements:
        raise ValueError(f"{arrays} arrays do not fit {most_elements} elements: choose 1 or more.")
    if arrays * min(bandwidths) > most_bandwidth:
        raise ValueError(f"{arrays} arrays do not fit {most_bandwidth} GB/s: choose fewer.")
    knobs = {}
    for i in range(arrays):
        knobs |= {
            f"{i}.dataflow": DATAFLOWS, f"{i}.elements": elements, f"{i}.bandwidth": bandwidths
        }  # fmt: skip

    def fits(rows: Designs) -> np.ndarray:
        of_elements = np.asarray(elements)[rows[:, 1::3]].sum(1)
        of_bandwidth = np.asarray(bandwidths)[rows[:, 2::3]].sum(1)
        return (of_elements <= most_elements) & (of_bandwidth <= most_bandwidth)

    return combine.restricted(design_space.of_values(knobs), fits)
