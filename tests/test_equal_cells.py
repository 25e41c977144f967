"""Cells that are looped give what they give one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import relax
from jaxnas.nets import darts
from tests import toy


@pytest.mark.parametrize("cells, reductions", [(3, ()), (4, (1,)), (4, (0,))])
def test_a_loop_over_equal_cells_equals_calling_each(x64, cells, reductions):
    space = darts.spaces.darts(2, ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3"))
    net = darts.supernet(
        space, features=2, cells=cells, classes=3, reductions=reductions, stem_multiplier=2
    )
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3), jnp.float64)
    weights, stats = toy.jit(net.init)(jax.random.key(1), images)
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
    used = toy.jit(lambda *arguments: net.infer(*arguments))(weights, stats, gates, images)
    assert np.isfinite(used).all()
