"""Partial channels, and supernets that compute one candidate an edge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.methods import pc_darts
from jaxnas.nets.mixed import partial_channels
from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces.darts import choices as spaces
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.nasbench201 import supernet as nasbench201
from tests import toy

SPACE = spaces.darts(2, ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"))


def cell_net(**settings):
    small = {"features": 4, "cells": 1, "reductions": (0,), "classes": 3, "stem_multiplier": 1}
    return darts.supernet(SPACE, **small | settings)


def start(net, dtype=jnp.float64):
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3), dtype)
    weights, stats = toy.begun(net, images)
    return weights, stats, images


def gates_of(net, scale=1.0):
    soft = relax.softmax(scale)
    return soft.gates(soft.init(jax.random.key(2), net.space), None)


@pytest.mark.parametrize(
    "channels, partial, order",
    [
        (8, 4, [0, 2, 4, 6, 1, 3, 5, 7]),
        (8, 2, [0, 4, 1, 5, 2, 6, 3, 7]),
        (16, 4, [0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15]),
    ],
)
def test_channels_are_shuffled_as_published(channels, partial, order):
    x = jnp.arange(channels, dtype=jnp.float32).reshape(1, 1, 1, channels)
    seen, passed = partial_channels.split(x, partial)
    np.testing.assert_array_equal(partial_channels.join(seen, 1.0, passed, 1).ravel(), order)


def test_what_passes_by_a_reduction_is_the_maximum_of_two_by_two():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    y = jnp.zeros((1, 2, 2, 1))
    joined = partial_channels.join(y, 0.5, x, 2)
    np.testing.assert_array_equal(joined[0, :, :, 1], 0.5 * np.array([[5.0, 7], [13, 15]]))
    odd = partial_channels.join(jnp.zeros((1, 2, 2, 1)), 1.0, x[:, :3, :3], 2)
    np.testing.assert_array_equal(odd[0, :, :, 1], [[5.0, 6], [9, 10]])


def test_shares_of_edges_sum_to_one_at_each_node_and_learn():
    relaxation = relax.edge_normalised(SPACE, relax.softmax(1.0))
    arch = relaxation.init(jax.random.key(0), SPACE)
    gates = relaxation.gates(arch, None)
    for name, choice in SPACE.items():
        targets = np.array([target for _, target in choice.edges])
        for node in set(targets):
            assert np.sum(gates[name][targets == node]) == pytest.approx(1, abs=1e-6)
    slope = jax.grad(lambda a: jnp.sum(relaxation.gates(a, None)["normal"][0] ** 2))(arch)
    assert np.all(slope["edges"]["normal"][:2] != 0)


def test_whole_channels_and_equal_edges_are_darts(x64):
    """K = 1: only the shares of the edges are left of PC-DARTS."""
    net, relaxation = cell_net(), relax.edge_normalised(SPACE, relax.softmax(1.0))
    arch = relaxation.init(jax.random.key(3), SPACE)
    arch["edges"] = jax.tree.map(jnp.zeros_like, arch["edges"])
    counts = {
        name: np.array([sum(t == target for _, t in c.edges) for _, target in c.edges])
        for name, c in SPACE.items()
    }
    plain = relax.softmax().gates(arch["candidates"], None)
    scaled = {name: gate / counts[name][:, None] for name, gate in plain.items()}
    weights, stats, images = start(net)
    run = toy.jit(net.apply)
    found = run(weights, stats, relaxation.gates(arch, None), images)[0]
    np.testing.assert_allclose(found, run(weights, stats, scaled, images)[0], rtol=1e-12)


@pytest.mark.parametrize("partial", [1, 2])
def test_the_selected_candidate_alone_gives_what_all_give(x64, partial):
    every, one = (cell_net(partial=partial, execute=e) for e in ("all", "selected"))
    weights, stats, images = start(every)
    soft = gates_of(every)
    hard = jax.tree.map(lambda g: jax.nn.one_hot(g.argmax(-1), g.shape[-1]) * 0.7, soft)

    def judged(net):
        def loss(weights, gates):
            return jnp.sum(jnp.sin(net.apply(weights, stats, gates, images)[0]))

        return toy.jit(jax.value_and_grad(loss, argnums=(0, 1)))(weights, hard)

    (value, (slope, gate_slope)), (expected, (slopes, gate_slopes)) = judged(one), judged(every)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    jax.tree.map(close, slope, slopes)
    if partial == 1:  # what passes by brings every gate of an edge the same
        for name, gate in hard.items():
            chosen = gate > 0
            close(gate_slope[name][chosen], gate_slopes[name][chosen])
            assert not np.any(gate_slope[name][~chosen])


def test_the_surrogate_gives_closed_gates_the_sum_of_the_slope(x64):
    """d loss / d gate_i = <d loss / d out, 1> for every candidate that was not computed."""
    net = nasbench201.supernet(
        {"cell": spaces_choices.uniform(((0, 1),), ("none", "skip_connect", "nor_conv_1x1"))},
        features=2, cells=1, classes=2, execute="surrogate",
    )  # fmt: skip
    weights, stats, images = start(net)
    gates = {"cell": jnp.array([[0.0, 1.0, 0.0]])}
    loss = lambda gates: jnp.sum(net.apply(weights, stats, gates, images)[0][:, 0] ** 2)
    slope = np.asarray(toy.jit(jax.grad(loss))(gates)["cell"][0])
    assert slope[0] == pytest.approx(slope[2], rel=1e-12)
    step = 1e-6
    shifted = lambda by: loss({"cell": jnp.array([[by, 1.0, 0.0]])})
    assert slope[0] == pytest.approx(float(shifted(step) - shifted(-step)) / (2 * step), rel=1e-6)
    assert abs(slope[0]) > 1e-6


def test_statistics_of_candidates_that_were_not_computed_stay():
    net = cell_net(execute="selected")
    weights, stats, images = start(net, jnp.float32)
    skips = {n: jnp.zeros(c.shape).at[:, 2].set(1) for n, c in SPACE.items()}
    _, moved = toy.jit(net.apply)(weights, stats, skips, images)
    before, after = (tree["cell_0"]["edges_from_inputs"] for tree in (stats, moved))
    same = lambda name: jax.tree.map(np.array_equal, before[name], after[name])
    assert all(jax.tree.leaves(same("max_pool_3x3")))
    assert all(jax.tree.leaves(same("sep_conv_3x3")))
    assert not any(jax.tree.leaves(same("skip_connect")))
    pools = {n: jnp.zeros(c.shape).at[:, 1].set(1) for n, c in SPACE.items()}
    _, moved = toy.jit(net.apply)(weights, stats, pools, images)
    _, expected = toy.jit(cell_net().apply)(weights, stats, pools, images)
    pool = lambda tree: tree["cell_0"]["edges_from_inputs"]["max_pool_3x3"]
    jax.tree.map(np.testing.assert_array_equal, pool(moved), pool(expected))


def test_a_quarter_of_the_channels_needs_less_than_two_fifths_of_the_memory():
    def bytes_of(partial):
        net = darts.supernet(
            spaces.darts(2), features=16, cells=1, reductions=(), classes=3, stem_multiplier=1,
            partial=partial, remat=False,
        )  # fmt: skip
        images = jax.ShapeDtypeStruct((16, 16, 16, 3), jnp.float32)
        key = jax.eval_shape(lambda: jax.random.key(0))
        weights, stats = jax.eval_shape(net.init, key, images)
        gates = jax.eval_shape(lambda: gates_of(net))
        loss = lambda w, s, g, x: net.apply(w, s, g, x)[0].sum()
        lowered = jax.jit(jax.grad(loss)).lower(weights, stats, gates, images)
        level = {"xla_backend_optimization_level": 0}
        return lowered.compile(level).memory_analysis().temp_size_in_bytes

    assert bytes_of(4) <= 0.4 * bytes_of(1)


def test_impossible_mixtures_are_refused():
    with pytest.raises(ValueError, match="3-th of 4 channels"):
        cell_net(partial=3)
    with pytest.raises(ValueError, match="'all', 'selected' or 'surrogate'"):
        cell_net(execute="some")
    with pytest.raises(ValueError, match="leaves none"):
        pc_darts.pc_darts(cell_net(), epochs=2, steps_per_epoch=1, warm_up=2)
