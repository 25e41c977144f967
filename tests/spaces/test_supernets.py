"""Real supernets: their sizes, their lowering, and the contract where convolutions take part."""

import chex
import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType

from jaxnas import run
from jaxnas.core import hypergrad, sharding
from jaxnas.core.types import Batch, Choice
from jaxnas.methods.darts import darts as method
from jaxnas.nets import count
from jaxnas.spaces.darts import choices
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.nasbench201 import supernet as nasbench201
from tests import toy

HASTE = {"xla_backend_optimization_level": 0}
IMAGES = (32, 32, 3)


def batch(side=8, size=8):
    inputs = jax.random.normal(jax.random.key(1), (size, side, side, 3))
    return Batch(inputs, jnp.arange(size) % 10)


def jit(function):
    return jax.jit(function, compiler_options=HASTE)


@pytest.mark.parametrize("affine, parameters", [(False, 1_692_826), (True, 1_699_546)])
def test_the_nasbench201_supernet_has_the_size_of_the_original(affine, parameters):
    assert count.parameters(nasbench201.supernet(affine=affine), IMAGES) == parameters


@pytest.mark.parametrize("cells", [1, 5])
def test_the_nasbench201_supernet_counts_every_cell_of_its_loops(cells):
    # A 1x1 and a 3x3 convolution on each of 6 edges; the same in every stage.
    cell = 6 * (1 + 9) * 16**2 * 32**2
    reductions = 2 * (9 * 16 * 32 + 9 * 32 * 32 + 16 * 32) * 16**2
    stem, head = 9 * 3 * 16 * 32**2, 64 * 10
    expected = 3 * cells * cell + reductions + stem + head
    assert count.macs(nasbench201.supernet(cells=cells), IMAGES) == expected


@pytest.mark.parametrize("made", [darts.supernet, nasbench201.supernet])
def test_images_too_small_are_refused_when_weights_are_made(made):
    with pytest.raises(ValueError, match="pixels"):
        jax.eval_shape(made().init, jax.random.key(0), jnp.zeros((1, 3, 3, 3)))


def test_rematerialisation_changes_memory_and_no_value(x64):
    def facts(remat):
        net = darts.supernet(features=2, cells=1, reductions=(), classes=3, remat=remat)
        weights, stats = toy.begun(net, batch().inputs)
        gates = {name: jnp.full(c.shape, 0.1) for name, c in net.space.items()}
        loss = lambda w, g: jnp.sum(net.apply(w, stats, g, batch().inputs)[0] ** 2)
        return jit(jax.grad(loss, (0, 1)))(weights, gates)

    chex.assert_trees_all_close(facts(True), facts(False), rtol=1e-9, atol=1e-12)


def test_edges_with_other_candidates_equal_the_whole_space_with_closed_gates(x64):
    """S1 has two candidates an edge; the others of DARTS, closed, bring nothing."""
    settings = {"features": 2, "cells": 2, "reductions": (1,), "classes": 3}
    few, all_ = darts.supernet(choices.s1(), **settings), darts.supernet(**settings)
    images = batch().inputs
    weights, stats = toy.begun(few, images)
    wide, wide_stats = toy.begun(all_, images)
    gates = {
        name: jax.random.uniform(jax.random.key(2), choice.shape)
        for name, choice in few.space.items()
    }
    opened = {}
    for name, choice in few.space.items():
        opened[name] = jnp.zeros(all_.space[name].shape)
        for e, names in enumerate(choice.candidates):
            for k, candidate in enumerate(names):
                column = all_.space[name].candidates[e].index(candidate)
                opened[name] = opened[name].at[e, column].set(gates[name][e, k])

    for cell, kind in (("cell_0", "normal"), ("cell_1", "reduce")):
        for loop, ops in weights[cell].items():
            if not loop.startswith("edges"):
                wide[cell][loop] = ops
                continue
            edges = range(14)
            if kind == "reduce":
                inner = loop == "edges"
                edges = [e for e in edges if (few.space[kind].edges[e][0] >= 2) == inner]
            order = sorted(edges, key=lambda e: few.space[kind].edges[e])
            for op, tree in ops.items():
                having = [i for i, e in enumerate(order) if op in few.space[kind].candidates[e]]
                place = lambda to, of, rows=having: to.at[jnp.array(rows)].set(of)
                wide[cell][loop][op] = jax.tree.map(place, wide[cell][loop][op], tree)
    wide["stem"], wide["classifier"] = weights["stem"], weights["classifier"]

    narrow_logits = jit(few.apply)(weights, stats, gates, images)[0]
    wide_logits = jit(all_.apply)(wide, wide_stats, opened, images)[0]
    chex.assert_trees_all_close(narrow_logits, wide_logits, rtol=1e-9)


def test_a_sharded_batch_and_seeds_at_once_equal_the_plain_step(x64):
    """In float64, since normalising a channel that hardly varies magnifies rounding."""
    few = Choice(((0, 1), (0, 2), (1, 2)), (("none", "avg_pool_3x3", "nor_conv_3x3"),) * 3)
    net = nasbench201.supernet({"cell": few}, features=2, cells=1)
    search = method(net, steps_per_epoch=10, hypergrad=hypergrad.first_order())
    data = batch()
    keys = jax.random.split(jax.random.key(0))
    each = [run.first_state(search.init, key, data.inputs) for key in keys]
    states, alone = jax.tree.map(lambda *pair: jnp.stack(pair), *each), each[1]
    plain, _ = jit(search.update)(alone, data, data)

    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    sharded, _ = jit(sharding.data_parallel(search, mesh).update)(alone, data, data)
    seeds, _ = jit(jax.vmap(search.update, (0, None, None)))(states, data, data)
    second = jax.tree.map(lambda leaf: leaf[1], seeds)
    for other in (sharded, second):
        moved = lambda state: (state.arch, state.weights, state.stats, state.weight_opt)
        chex.assert_trees_all_close(moved(other), moved(plain), rtol=1e-6, atol=1e-9)
