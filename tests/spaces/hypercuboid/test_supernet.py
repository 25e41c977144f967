"""sharpDARTS's operations and its grid of widths, against counts that its code printed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.cli import main
from jaxnas.nets import batch_norm, count
from jaxnas.pipelines import diagnose
from jaxnas.spaces import choices, discretise, registry
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.darts import sharp_ops
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.spaces.hypercuboid import supernet as hypercuboid
from tests import toy

KEY, IMAGE = jax.random.key(0), jnp.ones((2, 8, 8, 3))


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


GRID = choices.hypercuboid(2, 2)
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
    found = discretise.strongest_path(GRID, gates, WIDTHS)
    assert found.cells["grid"].edges == ((0, 1, "sep_conv_3x3:2-4"), (1, 2, "max_pool_3x3:4-4"))
    net = hypercuboid.network(found, classes=3, reductions=(0,))
    # stem 3*9*2 + 2*2; two pairs 2*9+2*4+2*4, 4*9+4*4+2*4; a pool; 4*3+3
    assert count.parameters(net, (8, 8, 3)) == 58 + 34 + 60 + 15
    weights, stats = toy.jit(net.init)(KEY, IMAGE)
    (logits, extra), moved = toy.jit(net.apply)(weights, stats, IMAGE, KEY, None)
    assert logits.shape == (2, 3)
    assert extra is None
    assert toy.jit(net.infer)(weights, moved, IMAGE).shape == (2, 3)


def test_gates_of_a_path_select_it_again():
    random = np.random.default_rng(0)
    found = discretise.strongest_path(
        GRID, {name: random.random(c.shape) for name, c in GRID.items()}, WIDTHS
    )
    gates = discretise.path_gates(GRID, found, WIDTHS)
    assert discretise.strongest_path(GRID, gates, WIDTHS) == found
    assert all(gate.sum() == 1 for gate in gates.values())
    with pytest.raises(ValueError, match="no candidate"):
        discretise.path_gates(GRID, found, (2, 8))
    with pytest.raises(ValueError, match="no path through a grid of 1"):
        discretise.path_gates(choices.hypercuboid(1, 2), found, WIDTHS)


def test_a_path_is_as_many_times_wider_as_it_is_told():
    path = Genotype("hypercuboid", {"grid": Cell(((0, 1, "sep_conv_3x3:1-2"),), 1, (1,))})
    wide = Genotype("hypercuboid", {"grid": Cell(((0, 1, "sep_conv_3x3:4-8"),), 1, (1,))})
    sizes = [
        count.parameters(hypercuboid.network(found, features=features), (8, 8, 3))
        for found, features in ((path, 4), (wide, 1))
    ]
    assert sizes[0] == sizes[1]
    with pytest.raises(ValueError, match="features >= 2"):
        hypercuboid.network(path)


def test_recomputing_a_grid_changes_nothing():
    keep, recompute = (
        hypercuboid.supernet(GRID, widths=WIDTHS, classes=3, remat=remat) for remat in (False, True)
    )
    weights, stats = toy.jit(keep.init)(KEY, IMAGE)

    def slope(net):
        loss = lambda weights: jnp.sum(net.apply(weights, stats, ones(), IMAGE)[0] ** 2)
        return toy.jit(jax.grad(loss))(weights)

    for a, b in zip(*map(jax.tree.leaves, (slope(keep), slope(recompute))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_grid_has_an_entry_whose_genotypes_say_its_layers():
    entry = registry.entry("hypercuboid", 3)
    settings = {"features": 2, "cells": None, "classes": 3, "reductions": None}
    net = entry.supernet(entry.space, **settings, remat=True)
    weights, stats = jax.eval_shape(net.init, KEY, IMAGE)
    gates = {n: jax.ShapeDtypeStruct(c.shape, jnp.float32) for n, c in entry.space.items()}
    assert jax.eval_shape(net.apply, weights, stats, gates, IMAGE)[0].shape == (2, 3)
    random = np.random.default_rng(1)
    found = entry.select(entry.space, {n: random.random(c.shape) for n, c in entry.space.items()})
    again = registry.of_genotype(found)
    assert registry.family_of(found) == "grid" and again.space == entry.space
    # Halved at a third and two thirds, as DARTS's cells are.
    layers = again.network(found, **settings, auxiliary=False)
    told = again.network(found, **settings | {"reductions": (1, 2)}, auxiliary=False)
    assert count.size(layers, (8, 8, 3)) == count.size(told, (8, 8, 3))
    for wrong, cause in [({"cells": 4}, "has 3 layers, not 4"), ({"auxiliary": True}, "leave it")]:
        with pytest.raises(ValueError, match=cause):
            again.network(found, **{**settings, "auxiliary": False, **wrong})
    with pytest.raises(ValueError, match="has 3 layers, not 4"):
        entry.supernet(entry.space, **settings | {"cells": 4}, remat=True)


def test_widths_are_searched_on_real_images(tmp_path, capsys):
    """To a target in multiply-accumulates, too."""
    words = [
        *("search", "--space", "hypercuboid", "--method", "hypercuboid", "--cells", "1"),
        *("--features", "2", "--limit", "300", "--epochs", "3", "--random-cells", "0"),
        *("--retrain.epochs", "1", "--retrain.features", "2", "--target-macs", "3000"),
        *("--out", str(tmp_path), "--name", "grid"),
    ]
    assert main(words) == 0, capsys.readouterr().err
    said = json.loads((tmp_path / "grid" / "target.json").read_text())["targets"]["macs"]
    assert said["predicted"] <= 3000 and said["holds"]
    found = genotypes.from_json((tmp_path / "grid" / "genotype.json").read_text())
    assert len(found.cells["grid"].edges) == 1
    # As `jaxnas diagnose` opens what was found.
    searched = diagnose.searched(tmp_path / "grid")
    assert searched.select(searched.opened(found)) == found


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("search", "--method", "hypercuboid"), "families grid, not darts"),
        (("search", "--space", "hypercuboid"), "not grid: use one of hypercuboid"),
        (("search", "--space", "hypercuboid", "--preset", "paper"), "no sizes for the space"),
        (
            ("search", "--space", "hypercuboid", "--method", "hypercuboid", "--retrain.cells", "2"),
            "no effect on a path through a grid",
        ),
        (
            ("latency", "measure", "--space", "hypercuboid", "--kinds", "block"),
            "the blocks of hypercuboid are its candidates",
        ),
    ],
)
def test_what_a_grid_cannot_be_is_refused_in_one_line(words, cause, capsys):
    assert main([*words]) == 2
    error = capsys.readouterr().err
    assert cause in error and error.count("\n") == 1


def test_refuses_grids_and_paths_that_cannot_be():
    with pytest.raises(ValueError, match="make the space with space.hypercuboid"):
        hypercuboid.supernet(GRID, widths=(2, 4, 8))
    with pytest.raises(ValueError, match="layers >= 1"):
        choices.hypercuboid(0, 2)
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
