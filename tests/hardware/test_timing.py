"""The time of an inference on this device."""

import gc
import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.types import Network
from jaxnas.hardware import timing


def test_the_time_of_an_inference_is_between_its_quartiles():
    infer = lambda weights, stats, inputs: inputs @ weights["w"]
    took = timing.inference(Network(None, None, infer), {"w": jnp.ones((2, 3))}, {}, (4, 4, 2))
    assert 0 < took.low <= took.median <= took.high
    assert timing.MIN_SAMPLES <= took.repetitions <= timing.MAX_SAMPLES


def test_a_network_is_sampled_until_its_median_is_known():
    random = np.random.default_rng(0)
    steady = timing.median_of(lambda: 2.0 * math.exp(0.01 * random.standard_normal()))
    assert steady.repetitions == timing.MIN_SAMPLES
    assert steady.median == pytest.approx(2.0, rel=0.01)
    noisy = timing.median_of(lambda: 2.0 * math.exp(0.5 * random.standard_normal()))
    assert noisy.repetitions == timing.MAX_SAMPLES
    assert noisy.median == pytest.approx(2.0, rel=0.2)


def test_a_slow_network_takes_no_more_samples_than_it_must():
    seconds = itertools.count(0.0, 5.0)
    values = itertools.cycle([1.0, 2.0, 3.0])
    took = timing.median_of(lambda: next(values), lambda: next(seconds))
    assert took.repetitions == timing.MIN_SAMPLES


def test_samples_that_the_clock_spoilt_are_left_out_and_garbage_is_not_collected():
    values = itertools.cycle([1.0, math.nan, 1.0])

    def sample():
        assert not gc.isenabled()
        return next(values)

    took = timing.median_of(sample)
    assert took.median == took.low == took.high == 1.0 and took.repetitions == 13
    assert gc.isenabled()
    with pytest.raises(ValueError, match="The clock was set"):
        timing.median_of(lambda: math.nan)
