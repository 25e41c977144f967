"""Milliseconds of one inference on this device."""

import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core.types import Network, Stats, Weights

WARM_UP_S, MEASURE_S = 0.1, 0.5
FEWEST, MOST = 20, 1000  # repetitions


class Milliseconds(NamedTuple):
    median: float
    low: float  # quartiles
    high: float
    repetitions: int


def inference(
    net: Network, weights: Weights, stats: Stats, image: tuple[int, int, int], batch: int = 1
) -> Milliseconds:
    """The time of `net.infer` on `batch` images, compiled ahead, from call to result.

    The device must be quiet for the number to mean something: the quartiles say whether it was.
    """
    inputs = jnp.zeros((batch, *image), jnp.float32)
    program = jax.jit(net.infer).lower(weights, stats, inputs).compile()

    def once() -> float:
        began = time.perf_counter()
        jax.block_until_ready(program(weights, stats, inputs))
        return 1e3 * (time.perf_counter() - began)

    until = time.perf_counter() + WARM_UP_S
    once()
    while time.perf_counter() < until:
        once()
    times, until = [], time.perf_counter() + MEASURE_S
    while len(times) < FEWEST or (len(times) < MOST and time.perf_counter() < until):
        times.append(once())
    low, median, high = statistics.quantiles(times, n=4)
    return Milliseconds(median, low, high, len(times))
