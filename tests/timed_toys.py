"""Networks and programs small enough to be timed in a test."""

import jax.numpy as jnp

from jaxnas.hardware.programs import Program
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces import search_space
from jaxnas.spaces.nasbench201 import notation as nasbench201_notation

SMALL = search_space.NetworkSize(features=4, image=(8, 8, 3))


def cell(text: str) -> genotypes.Genotype:
    """A cell by the first letters of its operations: none, skip, 1, 3, pool."""
    names = {"n": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3"}
    ops = [names.get(letter, "avg_pool_3x3") for letter in text]
    a, b, c, d, e, f = ops
    return nasbench201_notation.from_arch(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|")


def doubling() -> Program:
    x = jnp.ones((2, 4))
    return Program("double", "operator", "{}", lambda w, x: x @ w, (jnp.eye(4), x))
