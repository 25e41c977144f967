"""Latency, energy and area of layers on an array of processing elements: a roofline by dataflow.

Energies in the ratios of Eyeriss, https://doi.org/10.1145/3007787.3001177, table IV (from memory):
a word from the buffer costs 6, from DRAM 200 multiply-accumulates. Sizes are our choice.
"""

import functools
from typing import NamedTuple

import numpy as np

from jaxnas.hardware.accelerator import dataflow
from jaxnas.hardware.accelerator.layer import LoopNest

CLOCK_GHZ = 1.0
WORD_BYTES = 2
MAC_PJ, BUFFER_PJ, DRAM_PJ = 1.0, 6.0, 200.0  # picojoules; a word of 16 bits
ELEMENT_MM2, BANDWIDTH_MM2 = 0.004, 0.05  # of an element; of a GB/s


class Array(NamedTuple):
    """A (sub-)accelerator."""

    dataflow: str  # of dataflow.DATAFLOWS
    elements: int
    bandwidth: float  # GB/s to DRAM


class Cost(NamedTuple):
    """Of a layer, of a network, or of several."""

    latency_ms: float
    energy_mj: float


@functools.lru_cache(100_000)
def of_layer(layer: LoopNest, array: Array) -> Cost:
    """The fastest way to lay the layer on the array; of equally fast ones the one of least energy.

    Latency is that of computing or of moving every word once, whichever is longer: it never rises
    with elements or bandwidth. Raises ValueError for an unknown dataflow, less than one element and
    no bandwidth.
    """
    if array.elements < 1 or not array.bandwidth > 0:
        raise ValueError(f"{array} has no element or no bandwidth: give both.")
    ways = dataflow.tiles(array.dataflow, layer, array.elements)
    moving_ns = layer.words * WORD_BYTES / array.bandwidth
    latency_ns = np.maximum(ways.cycles / CLOCK_GHZ, moving_ns)
    energy = layer.macs * MAC_PJ + ways.accesses * BUFFER_PJ + layer.words * DRAM_PJ
    best = np.lexsort((energy, latency_ns))[0]
    return Cost(float(latency_ns[best]) * 1e-6, float(energy[best]) * 1e-9)


def area_mm2(arrays: tuple[Array, ...]) -> float:
    """The area of several arrays side by side."""
    return sum(a.elements * ELEMENT_MM2 + a.bandwidth * BANDWIDTH_MM2 for a in arrays)


def assign(costs: np.ndarray) -> tuple[tuple[int, ...], Cost]:
    """Which array each network runs on, and the cost of all of them.

    `costs`: f64[networks, arrays, 2], milliseconds and millijoules. Networks on different arrays
    run at the same time, those on one array one after another; the assignment has the least
    latency, of equal ones the least energy. Each network stays on one array (NASAIC maps layers).
    """
    networks, arrays = costs.shape[:2]
    found = None
    for choice in np.ndindex(*(arrays,) * networks):
        of_choice = costs[np.arange(networks), choice]
        latency = max(np.bincount(choice, of_choice[:, 0], arrays))
        key = (float(latency), float(of_choice[:, 1].sum()))
        if found is None or key < found[0]:
            found = key, choice
    (latency, energy), choice = found
    return tuple(int(c) for c in choice), Cost(latency, energy)
