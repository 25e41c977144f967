"""The ways to compute all candidates of a cell give the same, with the same derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.nets.mixed import edges_by_source
from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces.darts import choices as spaces
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.nasbench201 import supernet as nasbench201
from tests import toy

DARTS = spaces.darts(2, ("none", "avg_pool_3x3", "skip_connect", "dil_conv_3x3"))
EDGES = ((0, 1), (0, 2), (1, 2))
# The 1x1 convolution is a candidate of two edges, the pool of the third alone.
UNEVEN = {
    "cell": spaces_choices.Choice(
        EDGES,
        (
            ("none", "skip_connect", "nor_conv_1x1"),
            ("none", "nor_conv_3x3", "nor_conv_1x1"),
            ("none", "nor_conv_3x3", "avg_pool_3x3"),
        ),
    )
}


def darts_net(**settings):
    """A normal cell and one that reduces, whose loops read their inputs and their own nodes."""
    sizes = {"features": 4, "cells": 2, "reductions": (1,), "classes": 3, "stem_multiplier": 1}
    return darts.supernet(DARTS, **sizes, **settings)


def nasbench201_net(**settings):
    return nasbench201.supernet(UNEVEN, features=2, cells=1, classes=3, **settings)


def derivatives(net, mixed):
    """(loss, statistics, gradients by weights, gates and images); or a tangent of the gradient."""
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3), jnp.float64)
    weights, stats = toy.begun(net, images)
    soft = relax.softmax(1.0)
    gates = soft.gates(soft.init(jax.random.key(2), net.space), None)

    def loss(weights, gates, images):
        logits, moved = net.apply(weights, stats, gates, images)
        return jnp.sum(jnp.sin(logits)), moved

    slope = jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True)
    if not mixed:
        return toy.jit(slope)(weights, gates, images)
    along = jax.tree.map(jnp.cos, weights)
    of_gates = lambda w: jax.grad(loss, 1, has_aux=True)(w, gates, images)[0]
    return toy.jit(lambda: jax.jvp(of_gates, (weights,), (along,)))()


def equal(found, expected):
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    jax.tree.map(close, found, expected)


@pytest.mark.parametrize("partial, mixed", [(1, False), (2, False), (1, True)])
def test_the_loops_own_derivative_is_that_of_jax(x64, partial, mixed):
    ours, jaxs = (derivatives(darts_net(partial=partial, remat=r), mixed) for r in (True, False))
    equal(ours, jaxs)


def test_gradients_of_gates_and_of_weights_do_not_mix(x64):
    """JAX traces a cell once: what is differentiated first must not decide for what follows."""
    net = darts_net()
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3), jnp.float64)
    weights, stats = toy.begun(net, images)
    gates = {name: jnp.full(choice.shape, 0.1) for name, choice in net.space.items()}
    loss = lambda weights, gates: jnp.sum(jnp.sin(net.apply(weights, stats, gates, images)[0]))
    both = toy.jit(jax.grad(loss, (0, 1)))(weights, gates)
    for index in (1, 0, 1, 0):
        found = toy.jit(lambda w, g, index=index: jax.grad(loss, index)(w, g))(weights, gates)
        equal(found, both[index])


@pytest.mark.parametrize("mixed", [False, True])
def test_the_edges_of_a_source_together_are_the_loop_over_edges(x64, mixed, monkeypatch):
    loop = derivatives(nasbench201_net(), mixed)
    jax.clear_caches()
    monkeypatch.setattr(edges_by_source, "LARGE", 0)
    equal(derivatives(nasbench201_net(), mixed), loop)
    jax.clear_caches()


def test_only_full_convolutions_go_together(monkeypatch):
    calls = []
    mix = edges_by_source.mix
    monkeypatch.setattr(edges_by_source, "LARGE", 0)
    monkeypatch.setattr(edges_by_source, "mix", lambda *a: calls.append(a[0]) or mix(*a))
    jax.clear_caches()
    for net in (darts_net(), nasbench201_net()):
        images = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
        weights, stats = jax.eval_shape(net.init, jax.random.key(0), images)
        gates = {name: jnp.zeros(choice.shape) for name, choice in net.space.items()}
        jax.eval_shape(net.apply, weights, stats, gates, images)
    jax.clear_caches()
    stages = [body.stride for body in calls]
    assert stages == [1] * len(stages) and len(stages) == 3
    assert all(dict(body.loop.columns).keys() >= {"nor_conv_1x1"} for body in calls)
