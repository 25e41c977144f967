"""sharpDARTS's operations, against counts that its code printed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.nets import batch_norm, count
from jaxnas.spaces.darts import choices, sharp_ops
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.genotype import Cell, Genotype

KEY = jax.random.key(0)


def test_a_darts_genotype_of_sharp_operations_has_the_counted_parameters():
    net = darts_network.cifar(published.PUBLISHED["DARTS_V2"], candidates=sharp_ops.DERIVED)
    assert count.parameters(net, (32, 32, 3)) == 3_529_270


def sharp_cell(pairs):
    edges = (
        (int(source), 2 + i // 2, op)
        for i, (op, source) in enumerate(pair.split(",") for pair in pairs.split())
    )
    return Cell(tuple(edges), 2, (2, 3, 4, 5))


@pytest.mark.parametrize(
    ("cells", "parameters", "normal", "reduce"),
    [
        (
            14,
            2_477_062,
            "dil_conv_3x3,0 dil_conv_5x5,1 sep_conv_3x3,2 dil_conv_5x5,1 avg_pool_3x3,2 "
            "sep_conv_3x3,0 avg_pool_3x3,4 max_pool_3x3,3",
            "max_pool_3x3,0 skip_connect,1 sep_conv_5x5,0 skip_connect,2 sep_conv_5x5,0 "
            "dil_conv_5x5,3 sep_conv_5x5,4 skip_connect,3",
        ),
        (
            20,
            6_087_142,
            "sep_conv_3x3,0 dil_conv_5x5,1 max_pool_3x3,0 sep_conv_7x7,2 avg_pool_3x3,3 "
            "flood_conv_3x3,0 flood_conv_3x3,1 skip_connect,2",
            "flood_conv_5x5,0 dil_flood_conv_3x3,1 sep_conv_3x3,0 skip_connect,2 sep_conv_3x3,0 "
            "skip_connect,2 dil_conv_5x5,4 sep_conv_3x3,0",
        ),
    ],
    ids=["SHARPSEPCONV_DARTS_MAX_W", "SHARPER_MAX_W"],
)
def test_cells_found_with_max_w_have_the_counted_parameters(cells, parameters, normal, reduce):
    """As logged in cnn/genotypes.py of ahundt/sharpDARTS; the first by its ImageNet script, whose
    networks have 14 cells."""
    found = Genotype("darts-sharp", {"normal": sharp_cell(normal), "reduce": sharp_cell(reduce)})
    net = darts_network.cifar(found, cells=cells, candidates=sharp_ops.DERIVED)
    assert count.parameters(net, (32, 32, 3)) == parameters


def test_the_search_network_of_the_sharp_space_has_the_counted_parameters():
    """As its search log of 13 January 2019 says (cnn/genotypes.py of ahundt/sharpDARTS)."""
    net = darts.supernet(choices.sharp(), candidates=sharp_ops.OPS)
    assert count.parameters(net, (32, 32, 3)) == 5_867_642


@pytest.mark.parametrize("name", sharp_ops.CONVOLUTIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_sharp_convolution_is_two_pairs_around_its_middle(name, stride):
    op = sharp_ops.CONVOLUTIONS[name](8, stride, batch_norm.norms(False, True).inside)
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
    op = sharp_ops.CONVOLUTIONS["dil_conv_3x3"](1, 1, batch_norm.norms(False, False).inside)
    x = jnp.zeros((1, 15, 15, 1)).at[0, 7, 7, 0].set(1.0)
    variables = op.init(KEY, x)
    ones = jax.tree.map(jnp.ones_like, variables["params"])
    y = op.apply({"params": ones, "stats": variables["stats"]}, x)[0, :, 7, 0]
    assert np.flatnonzero(np.abs(y) > 1e-6).tolist() == list(range(4, 11))
