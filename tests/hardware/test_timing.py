"""The time of an inference on this device."""

import jax.numpy as jnp

from jaxnas.core.types import Network
from jaxnas.hardware import timing


def test_the_time_of_an_inference_is_between_its_quartiles():
    infer = lambda weights, stats, inputs: inputs @ weights["w"]
    took = timing.inference(Network(None, None, infer), {"w": jnp.ones((2, 3))}, {}, (4, 4, 2))
    assert 0 < took.low <= took.median <= took.high
    assert took.repetitions >= timing.INFERENCE.min_calls
