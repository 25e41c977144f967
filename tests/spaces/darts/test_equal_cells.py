"""Cells that are looped give what they give one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.spaces.darts import supernet as darts
from tests import toy


@pytest.mark.parametrize(
    "cells, reductions, imagenet",
    [(3, (), False), (4, (1,), False), (3, (0,), False), (2, (), True)],
)
def test_a_loop_over_equal_cells_equals_calling_each(x64, cells, reductions, imagenet):
    space = darts.spaces.darts(1, ("none", "avg_pool_3x3", "sep_conv_3x3"))
    net = darts.supernet(
        space, features=2, cells=cells, classes=3, reductions=reductions, stem_multiplier=2,
        imagenet=imagenet,
    )  # fmt: skip
    side = 32 if imagenet else 8
    images = jax.random.normal(jax.random.key(0), (2, side, side, 3), jnp.float64)
    weights, stats = toy.begun(net, images)
    gates = relax.softmax(1.0).gates(relax.softmax(1.0).init(jax.random.key(2), space), None)

    def loss(run):
        def value(weights, gates):
            logits, moved = run(weights, stats, gates, images)
            return jnp.sum(jnp.sin(logits)), (logits, moved)

        return toy.jit(jax.value_and_grad(value, argnums=(0, 1), has_aux=True))(weights, gates)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(darts, "_runs", lambda cells, reductions: [[i] for i in range(cells)])
        expected = loss(net.apply)
    jax.clear_caches()
    found = loss(lambda *arguments: net.apply(*arguments))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, expected
    )
    used = jax.eval_shape(net.infer, weights, stats, gates, images)
    assert used.shape == found[0][1][0].shape


def test_the_mixed_derivative_passes_through_the_loop(x64):
    """What the exact hypergradient takes: a forward derivative of a gradient, pools included."""
    space = darts.spaces.darts(1, ("max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3"))
    net = darts.supernet(space, features=2, cells=2, classes=3, reductions=(), stem_multiplier=2)
    images = jax.random.normal(jax.random.key(0), (2, 6, 6, 3), jnp.float64)
    weights, stats = toy.begun(net, images)
    gates = relax.softmax(1.0).gates(relax.softmax(1.0).init(jax.random.key(2), space), None)
    along = jax.tree.map(jnp.cos, weights)

    def mixed_derivative(run):
        loss = lambda g, w: jnp.sum(jnp.sin(run(w, stats, g, images)[0]))
        slope = lambda w: jax.grad(loss)(gates, w)
        return toy.jit(lambda: jax.jvp(slope, (weights,), (along,))[1])()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(darts, "_runs", lambda cells, reductions: [[i] for i in range(cells)])
        expected = mixed_derivative(net.apply)
    jax.clear_caches()
    found = mixed_derivative(lambda *arguments: net.apply(*arguments))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, expected
    )
    assert np.all(found["normal"])
