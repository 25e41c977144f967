"""The hypercuboid: its supernet, its entry, and a search of it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.cli import main
from jaxnas.nets import count
from jaxnas.pipelines import diagnose
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Cell, Genotype
from jaxnas.spaces.hypercuboid import choices
from jaxnas.spaces.hypercuboid import supernet as hypercuboid
from tests import toy

KEY, IMAGE = jax.random.key(0), jnp.ones((2, 8, 8, 3))


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


def test_gates_of_a_path_select_it_again():
    space, random = registry.get("hypercuboid", 2), np.random.default_rng(0)
    path = space.discretise(
        space.choices, {name: random.random(c.shape) for name, c in space.choices.items()}
    )
    gates = space.genome.one_hot(space.genome.encode(path))
    assert space.discretise(space.choices, gates) == path
    assert all(gate.sum() == 1 for gate in gates.values())
    other = Genotype("hypercuboid", {"grid": Cell(((0, 1, "sep_conv_3x3:1-8"),), 1, (1,))})
    with pytest.raises(ValueError, match="has no 'sep_conv_3x3:1-8'"):
        space.genome.encode(other)
    with pytest.raises(ValueError, match="of other --cells"):
        registry.get("hypercuboid", 3).genome.encode(path)


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
    space = registry.get("hypercuboid", 3)
    settings = {"features": 2, "cells": None, "classes": 3, "reductions": None}
    net = space.supernet(space.choices, **settings, remat=True)
    weights, stats = jax.eval_shape(net.init, KEY, IMAGE)
    gates = {n: jax.ShapeDtypeStruct(c.shape, jnp.float32) for n, c in space.choices.items()}
    assert jax.eval_shape(net.apply, weights, stats, gates, IMAGE)[0].shape == (2, 3)
    random = np.random.default_rng(1)
    path = space.discretise(
        space.choices, {n: random.random(c.shape) for n, c in space.choices.items()}
    )
    same = registry.of_genotype(path)
    assert (same.name, same.cells) == ("hypercuboid", 3) and same.choices == space.choices
    # Halved at a third and two thirds, as DARTS's cells are.
    default = same.network(path, **settings, auxiliary=False)
    given = same.network(path, **settings | {"reductions": (1, 2)}, auxiliary=False)
    assert count.size(default, (8, 8, 3)) == count.size(given, (8, 8, 3))
    for wrong, cause in [({"cells": 4}, "has 3 layers, not 4"), ({"auxiliary": True}, "leave it")]:
        with pytest.raises(ValueError, match=cause):
            same.network(path, **{**settings, "auxiliary": False, **wrong})
    with pytest.raises(ValueError, match="has 3 layers, not 4"):
        space.supernet(space.choices, **settings | {"cells": 4}, remat=True)


def test_widths_are_searched_on_real_images(tmp_path, capsys):
    """To a target in multiply-accumulates, too."""
    words = [
        *("search", "--space", "hypercuboid", "--method", "hypercuboid", "--cells", "1"),
        *("--features", "2", "--limit", "300", "--epochs", "3", "--random-cells", "0"),
        *("--retrain.epochs", "1", "--retrain.features", "2", "--target-macs", "3000"),
        *("--out", str(tmp_path), "--name", "grid"),
    ]
    assert main(words) == 0, capsys.readouterr().err
    record = json.loads((tmp_path / "grid" / "target.json").read_text())["targets"]["macs"]
    assert record["predicted"] <= 3000 and record["holds"]
    found = genotypes.from_json((tmp_path / "grid" / "genotype.json").read_text())
    assert len(found.cells["grid"].edges) == 1
    # As `jaxnas diagnose` opens what was found.
    searched = diagnose.load(tmp_path / "grid")
    assert searched.discretise(searched.one_hot(found)) == found


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("search", "--method", "hypercuboid"), "the space darts does not support (joint)"),
        (
            ("search", "--space", "hypercuboid"),
            "does not support (edgewise): use one of hypercuboid",
        ),
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


def test_refuses_grids_that_cannot_be():
    with pytest.raises(ValueError, match="make the space with space.hypercuboid"):
        hypercuboid.supernet(GRID, widths=(2, 4, 8))
    with pytest.raises(ValueError, match="layers >= 1"):
        choices.hypercuboid(0, 2)
    net = hypercuboid.supernet(GRID, widths=WIDTHS, reductions=(0, 1))
    with pytest.raises(ValueError, match="below one"):
        net.init(KEY, jnp.ones((1, 2, 2, 3)))
