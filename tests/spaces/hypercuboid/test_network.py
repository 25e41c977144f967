"""Paths through the hypercuboid become networks of their widths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.nets import count
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.spaces.hypercuboid import choices, discretise
from jaxnas.spaces.hypercuboid import network as hypercuboid_network
from tests import toy

KEY, IMAGE = jax.random.key(0), jnp.ones((2, 8, 8, 3))
GRID, WIDTHS = choices.hypercuboid(2, 2), (2, 4)


def test_a_path_becomes_a_network_of_its_widths():
    gates = {name: np.full(c.shape, 0.1) for name, c in GRID.items()}
    gates["layer_0"][1, 0] = 0.9  # 2 -> 4, separable
    gates["layer_1"][3, 1] = 0.9  # 4 -> 4, pooled
    found = discretise.strongest_path(GRID, gates, WIDTHS)
    assert found.cells["grid"].edges == ((0, 1, "sep_conv_3x3:2-4"), (1, 2, "max_pool_3x3:4-4"))
    net = hypercuboid_network.network(found, classes=3, reductions=(0,))
    # stem 3*9*2 + 2*2; two pairs 2*9+2*4+2*4, 4*9+4*4+2*4; a pool; 4*3+3
    assert count.parameters(net, (8, 8, 3)) == 58 + 34 + 60 + 15
    weights, stats = toy.jit(net.init)(KEY, IMAGE)
    (logits, extra), moved = toy.jit(net.apply)(weights, stats, IMAGE, KEY, None)
    assert logits.shape == (2, 3)
    assert extra is None
    assert toy.jit(net.infer)(weights, moved, IMAGE).shape == (2, 3)


def test_a_path_is_as_many_times_wider_as_it_is_told():
    path = Genotype("hypercuboid", {"grid": Cell(((0, 1, "sep_conv_3x3:1-2"),), 1, (1,))})
    wide = Genotype("hypercuboid", {"grid": Cell(((0, 1, "sep_conv_3x3:4-8"),), 1, (1,))})
    sizes = [
        count.parameters(hypercuboid_network.network(found, features=features), (8, 8, 3))
        for found, features in ((path, 4), (wide, 1))
    ]
    assert sizes[0] == sizes[1]
    with pytest.raises(ValueError, match="features >= 2"):
        hypercuboid_network.network(path)


def test_refuses_paths_that_cannot_be():
    path = lambda *steps: Genotype("hypercuboid", {"grid": Cell(tuple(steps), 1, (len(steps),))})
    for wrong, cause in [
        (path((0, 1, "sep_conv_3x3")), "op:16-32"),
        (path((0, 1, "sep_conv_3x3:2-4"), (1, 2, "sep_conv_3x3:8-4")), "another width"),
        (published.PUBLISHED["DARTS_V2"], "expected one cell"),
    ]:
        with pytest.raises(GenotypeError, match=cause):
            hypercuboid_network.network(wrong)
    with pytest.raises(ValueError, match="No operation is called 'mystery'"):
        hypercuboid_network.network(path((0, 1, "mystery:2-4")))
