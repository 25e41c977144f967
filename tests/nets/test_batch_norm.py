"""Normalisation by its own rule has the derivatives of its formula."""

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxnas.nets import batch_norm
from tests import toy


def formula(x, scale=1.0, bias=0.0):
    mean = jnp.mean(x, (0, 1, 2))
    var = jnp.mean(jnp.square(x - mean), (0, 1, 2))
    return (
        (x - mean) / jnp.sqrt(var + 1e-5) * scale + bias,
        mean,
        var * (x[..., 0].size / (x[..., 0].size - 1)),
    )


# Images of fewer than 16 channels are normalised as rows.
@pytest.mark.parametrize("channels, affine", [(3, True), (3, False), (16, True), (16, False)])
def test_value_gradient_and_a_tangent_of_the_gradient(x64, channels, affine):
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (2, 3, 5, channels), jnp.float64)
    scale, bias = (jax.random.normal(jax.random.key(i), (channels,), jnp.float64) for i in (1, 2))
    weight = jax.random.normal(jax.random.key(3), x.shape)
    arguments = (x, scale, bias) if affine else (x,)
    norm = batch_norm.BatchNorm(affine=affine, training=True, decay=0.0)
    stats = {"mean": jnp.zeros(channels), "var": jnp.ones(channels)}

    def ours(x, *scale_and_bias):
        params = dict(zip(("scale", "bias"), scale_and_bias, strict=False))
        y, new = norm.apply({"params": params, "stats": stats}, x, mutable=["stats"])
        return y, new["stats"]["mean"], new["stats"]["var"]

    def facts(run):
        def loss(*arguments):
            y, mean, var = run(*arguments)
            return jnp.sum(y**3 * weight) + jnp.sum(mean**2) + jnp.sum(jnp.sqrt(var))

        slope = jax.grad(loss, tuple(range(len(arguments))))
        tangents = tuple(jnp.cos(a) for a in arguments)
        return toy.jit(lambda: (run(*arguments), jax.jvp(slope, arguments, tangents)))()

    chex.assert_trees_all_close(facts(ours), facts(formula), rtol=1e-9, atol=1e-9)
