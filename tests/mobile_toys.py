"""Chains small enough to compile in a second."""

import functools

import jax

from jaxnas.spaces.mobile import zoo
from jaxnas.spaces.mobile.chain import SKIP, Chain, ChainStage

# XLA's optimising them would be most of the time these programs take.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
SAME = {"padding": "same", "decay": 0.99, "epsilon": 1e-3}


def single_path(padding="same"):
    """Two searched layers after a fixed one: the second may be skipped."""
    stages = (
        ChainStage(("k3_e1",), 4, 1, 1),
        ChainStage(zoo.SINGLE_PATH, 4, 2, 2),
    )
    return Chain("tiny", 4, 1, stages, 8, **SAME | {"padding": padding})


def one_layer(*candidates):
    """One searched layer, of 4 features and stride 1."""
    return Chain("one", 4, 1, (ChainStage((*candidates, SKIP), 4, 1, 1),), 8)
