"""sharpDARTS's operations and its grid of widths, against counts that its code printed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import published, select, space
from jaxnas.genotype import Cell, Genotype, GenotypeError
from jaxnas.nets import count, darts, derived_darts, hypercuboid, normalise, sharp
from tests import toy

KEY, IMAGE = jax.random.key(0), jnp.ones((2, 8, 8, 3))


def test_a_darts_genotype_of_sharp_operations_has_the_counted_parameters():
    net = derived_darts.cifar(published.PUBLISHED["DARTS_V2"], candidates=sharp.DERIVED)
    assert count.parameters(net, (32, 32, 3)) == 3_529_270


def test_the_search_network_of_the_sharp_space_has_the_counted_parameters():
    """As its search log of 13 January 2019 says (cnn/genotypes.py of ahundt/sharpDARTS)."""
    net = darts.supernet(space.sharp(), candidates=sharp.OPS)
    assert count.parameters(net, (32, 32, 3)) == 5_867_642


@pytest.mark.parametrize("name", sharp.CONVOLUTIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_sharp_convolution_is_two_pairs_around_its_middle(name, stride):
    op = sharp.CONVOLUTIONS[name](8, stride, normalise.norms(False, True).inside)
    x = jnp.ones((1, 6, 6, 4))
    variables = jax.eval_shape(op.init, KEY, x)
    middle = 4 * 8 if "flood" in name else 32 if "choke" in name else 8
    taps = int(name[-1]) ** 2
    weights = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    assert weights == taps * 4 + 4 * middle + taps * middle + middle * 8
    y, _ = jax.eval_shape(lambda v: op.apply(v, x, mutable=["stats"]), variables)
    assert y.shape == (1, 6 // stride, 6 // stride, 8)


def test_only_the_first_pair_is_dilated():
    """A point is seen as far as the kernels reach: 2 + 1 pixels, not 1 + 1 nor 2 + 2."""
    op = sharp.CONVOLUTIONS["dil_conv_3x3"](1, 1, normalise.norms(False, False).inside)
    x = jnp.zeros((1, 15, 15, 1)).at[0, 7, 7, 0].set(1.0)
    variables = op.init(KEY, x)
    ones = jax.tree.map(jnp.ones_like, variables["params"])
    y = op.apply({"params": ones, "stats": variables["stats"]}, x)[0, :, 7, 0]
    assert np.flatnonzero(np.abs(y) > 1e-6).tolist() == list(range(4, 11))


GRID = space.hypercuboid(2, 2)
WIDTHS = (2, 4)


def ones(gate=1.0):
    return {name: jnp.full(choice.shape, gate) for name, choice in GRID.items()}


def test_a_grid_adds_what_its_open_edges_bring():
    net = hypercuboid.supernet(GRID, widths=WIDTHS, classes=3, reductions=(1,))
    weights, stats = toy.jit(net.init)(KEY, IMAGE)
    apply = toy.jit(net.apply)
    x = jax.random.normal(KEY, IMAGE.shape)
    logits, moved = apply(weights, stats, ones(), x)
    assert logits.shape == (2, 3)
    assert jax.tree.structure(moved) == jax.tree.structure(stats)
    # Edges into the last layer's other width are not read; the others are.
    other, _ = apply(weights, stats, ones() | {"layer_1": ones()["layer_1"].at[0].set(9.0)}, x)
    np.testing.assert_array_equal(other, logits)
    closed = ones() | {"layer_1": ones()["layer_1"].at[1].set(0.0)}
    assert not np.allclose(apply(weights, stats, closed, x)[0], logits, atol=1e-3)


def test_a_path_becomes_a_network_of_its_widths():
    gates = {name: np.full(c.shape, 0.1) for name, c in GRID.items()}
    gates["layer_0"][1, 0] = 0.9  # 2 -> 4, separable
    gates["layer_1"][3, 1] = 0.9  # 4 -> 4, pooled
    found = select.strongest_path(GRID, gates, WIDTHS)
    assert found.cells["grid"].edges == ((0, 1, "sep_conv_3x3:2-4"), (1, 2, "max_pool_3x3:4-4"))
    net = hypercuboid.network(found, classes=3, reductions=(0,))
    # stem 3*9*2 + 2*2; two pairs 2*9+2*4+2*4, 4*9+4*4+2*4; a pool; 4*3+3
    assert count.parameters(net, (8, 8, 3)) == 58 + 34 + 60 + 15
    weights, stats = toy.jit(net.init)(KEY, IMAGE)
    (logits, extra), moved = toy.jit(net.apply)(weights, stats, IMAGE, KEY, None)
    assert logits.shape == (2, 3)
    assert extra is None
    assert toy.jit(net.infer)(weights, moved, IMAGE).shape == (2, 3)


def test_refuses_grids_and_paths_that_cannot_be():
    with pytest.raises(ValueError, match="make the space with space.hypercuboid"):
        hypercuboid.supernet(GRID, widths=(2, 4, 8))
    with pytest.raises(ValueError, match="layers >= 1"):
        space.hypercuboid(0, 2)
    net = hypercuboid.supernet(GRID, widths=WIDTHS, reductions=(0, 1))
    with pytest.raises(ValueError, match="below one"):
        net.init(KEY, jnp.ones((1, 2, 2, 3)))
    path = lambda *steps: Genotype("hypercuboid", {"grid": Cell(tuple(steps), 1, (len(steps),))})
    for wrong, cause in [
        (path((0, 1, "sep_conv_3x3")), "op:16-32"),
        (path((0, 1, "sep_conv_3x3:2-4"), (1, 2, "sep_conv_3x3:8-4")), "another width"),
        (published.PUBLISHED["DARTS_V2"], "expected one cell"),
    ]:
        with pytest.raises(GenotypeError, match=cause):
            hypercuboid.network(wrong)
    with pytest.raises(ValueError, match="No operation is called 'mystery'"):
        hypercuboid.network(path((0, 1, "mystery:2-4")))
