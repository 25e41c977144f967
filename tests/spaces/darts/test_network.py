"""Derived networks run on any image, drop paths as the paper's code does, refuse the rest."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.nets import batch_norm, ops
from jaxnas.spaces.darts import choices
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.spaces.nasbench201 import network as nasbench201_network
from jaxnas.spaces.nasbench201 import notation as nasbench201_notation
from tests import toy

DARTS_V2 = published.PUBLISHED["DARTS_V2"]
POOLS = nasbench201_notation.from_arch(
    "|avg_pool_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|skip_connect~2|"
)
KEY = jax.random.key(0)


def images(*shape):
    return jax.random.normal(jax.random.key(7), shape)


def started(net, x):
    weights, stats = toy.begun(net, x)
    return functools.partial(toy.jit(net.apply), weights, stats, x), (weights, stats)


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 28, 28, 1), (2, 15, 9, 4)])
def test_a_darts_network_takes_any_image(shape):
    net = darts_network.cifar(DARTS_V2, features=4, cells=3, classes=7)
    weights, stats = toy.begun(net, images(*shape))

    def run(weights, stats, x):
        (logits, extra), moved = net.apply(weights, stats, x, KEY, 0.2)
        assert extra is None
        return logits, moved, net.infer(weights, moved, x)

    # One of them is run, the one whose sizes are odd.
    run_or_trace = toy.jit(run) if shape[1] == 15 else functools.partial(jax.eval_shape, run)
    logits, moved, final = run_or_trace(weights, stats, images(*shape))
    assert logits.shape == final.shape == (2, 7)
    assert jax.tree.structure(moved) == jax.tree.structure(stats)
    assert shape[1] != 15 or np.isfinite(final).all()


def test_no_path_is_dropped_at_rate_zero_and_some_are_above():
    net = darts_network.cifar(DARTS_V2, features=4, cells=2)
    apply, _ = started(net, images(4, 8, 8, 3))
    others = jax.random.split(KEY, 3)
    still = [apply(key, 0.0)[0][0] for key in others]
    np.testing.assert_array_equal(still[0], still[1])
    first, second = (apply(key, 0.5)[0][0] for key in others[:2])
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, apply(others[0], 0.5)[0][0])


def test_identities_are_never_dropped():
    skips = Cell(tuple((s, t, "skip_connect") for t in (2, 3) for s in (0, 1)), 2, (2, 3))
    net = darts_network.cifar(
        Genotype("darts", {"normal": skips, "reduce": skips}), features=4, cells=2, reductions=()
    )
    apply, _ = started(net, images(4, 8, 8, 3))
    np.testing.assert_array_equal(apply(KEY, 0.9)[0][0], apply(KEY, 0.0)[0][0])


def test_a_dropped_path_is_zero_and_a_kept_one_grows():
    """One pooling path a node: a sample's node is 0 or 1 / keep times what it was."""
    cell = Cell(((0, 2, "avg_pool_3x3"),), 2, (2,))
    module = functools.partial(
        darts_network.DARTSCell, cell, tuple(ops.DARTS_DERIVED.items()), 4, 1, False,
        functools.partial(batch_norm.BatchNorm, affine=True, training=True),
    )  # fmt: skip
    x = images(64, 4, 4, 4)
    variables = module().init(KEY, x, x, None)
    run = lambda rate: module().apply(
        variables, x, x, rate, mutable=["stats"], rngs={"drop_path": KEY}
    )[0]
    plain, dropped = run(None), run(jnp.float32(0.25))
    kept = np.abs(dropped).max((1, 2, 3)) > 0
    assert 30 < kept.sum() < 62
    np.testing.assert_allclose(dropped[kept], plain[kept] / 0.75, rtol=1e-6)


def test_the_auxiliary_head_learns_and_inference_leaves_it_out():
    net = darts_network.cifar(DARTS_V2, features=4, cells=3, auxiliary=True)
    x = images(2, 32, 32, 3)
    weights, stats = toy.begun(net, x)

    def loss(weights):
        (_, extra), _ = net.apply(weights, stats, x, KEY, 0.0)
        return jnp.sum(jnp.square(extra)), extra

    grads, extra = toy.jit(jax.grad(loss, has_aux=True))(weights)
    assert extra.shape == (2, 10)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert np.abs(grads["auxiliary"]["classifier"]["kernel"]).max() > 0
    assert np.abs(grads["stem"]["convolution"]["kernel"]).max() > 0
    without = {name: tree for name, tree in weights.items() if name != "auxiliary"}
    # An error where it looks for what is not there.
    assert jax.eval_shape(net.infer, without, stats, x).shape == (2, 10)


def test_the_auxiliary_head_refuses_small_images():
    net = darts_network.cifar(DARTS_V2, features=4, cells=3, auxiliary=True)
    with pytest.raises(ValueError, match="sees 7x7 pixels and needs 8"):
        net.init(KEY, images(1, 28, 28, 1))


def test_imagenet_stems_divide_the_size_by_eight():
    net = darts_network.imagenet(
        DARTS_V2, features=4, cells=3, classes=5, auxiliary=True, reductions=(1,)
    )
    x = images(2, 112, 112, 3)
    shapes = jax.eval_shape(net.init, KEY, x)
    (logits, extra), _ = jax.eval_shape(net.apply, *shapes, x, KEY, 0.0)
    assert logits.shape == extra.shape == (2, 5)
    with pytest.raises(ValueError, match="by 8"):
        jax.eval_shape(net.init, KEY, images(1, 100, 100, 3))


def test_refuses_reductions_below_one_pixel_and_outside_the_cells():
    small = darts_network.cifar(DARTS_V2, features=4, cells=5)
    with pytest.raises(ValueError, match="shrink 2 pixels below one"):
        small.init(KEY, images(1, 2, 2, 1))
    with pytest.raises(ValueError, match="Reduction 5"):
        darts_network.cifar(DARTS_V2, cells=5, reductions=(5,))
    fewer = darts_network.cifar(DARTS_V2, features=4, cells=2, reductions=(1,))
    assert jax.eval_shape(fewer.init, KEY, images(1, 2, 2, 1))


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"cells": 0}, "cells >= 1"),
        ({"features": 1}, "features >= 2"),
        ({"classes": 1}, "classes >= 2"),
    ],
)
def test_refuses_impossible_sizes(settings, cause):
    with pytest.raises(ValueError, match=cause):
        darts_network.cifar(DARTS_V2, **settings)


def test_refuses_a_stem_without_channels():
    with pytest.raises(ValueError, match=">= 1"):
        darts_network.widths_of(16, 8, (), stem_multiplier=0)


def test_refuses_genotypes_of_other_networks():
    with pytest.raises(GenotypeError, match="'normal'"):
        darts_network.cifar(POOLS)
    with pytest.raises(GenotypeError, match="'cell'"):
        nasbench201_network.nasbench201(DARTS_V2)
    unknown = nasbench201_notation.from_arch("|conv_9x9~0|")
    with pytest.raises(ValueError, match="conv_9x9"):
        nasbench201_network.nasbench201(unknown)


def test_edges_may_come_in_any_order():
    cell = DARTS_V2.cells["normal"]
    turned = Genotype("darts", {**DARTS_V2.cells, "normal": cell._replace(edges=cell.edges[::-1])})
    net = darts_network.cifar(turned, features=4, cells=1, reductions=())
    (logits, _), _ = started(net, images(2, 8, 8, 3))[0](KEY, 0.0)
    assert np.isfinite(logits).all()


def test_a_benchmark_network_trains_and_infers():
    net = nasbench201_network.nasbench201(POOLS, features=4, cells=1, classes=3)
    x = images(2, 8, 8, 1)
    weights, stats = toy.begun(net, x)
    (logits, extra), moved = toy.jit(lambda w, s: net.apply(w, s, x, KEY, 0))(weights, stats)
    assert logits.shape == (2, 3)
    assert extra is None
    assert toy.jit(net.infer)(weights, moved, x).shape == (2, 3)
    with pytest.raises(ValueError, match="drop_path=0"):
        net.apply(weights, stats, x, KEY, 0.1)
    with pytest.raises(ValueError, match="multiples of 4"):
        net.init(KEY, images(1, 10, 8, 1))


def test_noise_is_drawn_anew_at_every_training_pass():
    space = choices.darts(1, ("noise", "sep_conv_3x3"))  # S4's candidates
    net = darts.supernet(space, features=4, cells=1, reductions=())
    x = images(2, 8, 8, 1)
    weights, stats = toy.begun(net, x)
    gates = {name: jnp.full(choice.shape, 0.5) for name, choice in net.space.items()}
    apply = toy.jit(net.apply)
    first, moved = apply(weights, stats, gates, x)
    again, _ = apply(weights, stats, gates, x)
    second, _ = apply(weights, moved, gates, x)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, second)
    loss = lambda g: jnp.sum(net.apply(weights, stats, g, x)[0] ** 2)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(toy.jit(jax.grad(loss))(gates)))
