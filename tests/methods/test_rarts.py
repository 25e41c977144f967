"""RARTS against the closed form of the solvable problem."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core import hypergrad
from jaxnas.core.types import Problem
from jaxnas.methods import rarts
from tests import toy


def descended(weight, pull, rate, steps):
    """(arch, weights, twin) after plain descent from (2, -2, -2)."""
    tx = optax.sgd(rate)
    point = lambda x: jnp.array(x, jnp.float64)
    at = rarts.Copies(point(2.0), point(-2.0), point(-2.0), *[tx.init(point(0.0))] * 3)
    settings = {"arch_tx": tx, "weight_tx": tx, "training_weight": weight, "pull": pull}

    def step(_, at):
        return rarts.step(toy.solvable(), at, **settings)[0]

    at = jax.jit(lambda at: jax.lax.fori_loop(0, steps, step, at))(at)
    return np.array([at.arch, at.weights, at.twin])


@pytest.mark.parametrize(
    ("weight", "pull", "rate", "golden"),
    [
        (10, 10, 0.02, (1.0811, 1.0270, 0.9189)),
        (100, 100, 0.002, (1.0076, 1.0025, 0.9924)),
        (10, 1, 0.02, (2.1053, 2.0, -0.1053)),
    ],
)
def test_reaches_the_closed_form(weight, pull, rate, golden, x64):
    arch = 2 / (2 - 1 / (2 * weight) - 1 / pull)
    closed = np.array([arch, arch * (1 - 1 / (2 * weight)), 2 - arch])
    np.testing.assert_allclose(closed, golden, atol=1e-4)
    np.testing.assert_allclose(descended(weight, pull, rate, 40_000), closed, atol=1e-4)


def test_one_step_moves_weights_then_twin_then_arch(x64):
    """By hand: w = -2 - .1 (2 (w - a)) with a pull of 0 at first, and so on."""
    arch, weights, twin = descended(weight=1, pull=2, rate=0.1, steps=1)
    w = -2 - 0.1 * (2 * (-2 - 2))
    y = -2 - 0.1 * (2.0 + 2 * (-2 - w))
    a = 2 - 0.1 * (-2 * (w - 2) + (y - 2))
    np.testing.assert_allclose((arch, weights, twin), (a, w, y), rtol=1e-12)


@jax.custom_vjp
def double(x):
    """2 x, without a forward derivative."""
    return 2 * x


@jax.custom_vjp
def square(x):
    """x^2, whose slope has no forward derivative: only a mixed second derivative asks for one."""
    return x**2


double.defvjp(lambda x: (2 * x, ()), lambda _, g: (2 * g,))
square.defvjp(lambda x: (x**2, x), lambda x, g: (double(x) * g,))


def test_takes_no_mixed_second_derivative():
    problem = Problem(
        lambda a, w: (square(a * w), None), lambda a, w: (square(w - a), None), lambda g, w: w - g
    )
    tx, place = optax.sgd(0.1), jnp.array(1.0)
    at = rarts.Copies(place, 2 * place, 3 * place, *[tx.init(place)] * 3)
    settings = {"arch_tx": tx, "weight_tx": tx, "training_weight": 1.0, "pull": 1.0}
    to, _ = rarts.step(problem, at, **settings)
    assert np.isfinite(to.arch)
    with pytest.raises(TypeError, match="custom_vjp"):
        hypergrad.unrolled().rule(problem)(place, 2 * place)


def test_looks_at_the_network_four_times():
    calls = []
    net = toy.supernet()

    def apply(*arguments):
        calls.append(None)
        return net.apply(*arguments)

    method = rarts.rarts(net._replace(apply=apply), epochs=4, steps_per_epoch=2)
    batch = toy.at(toy.batches(1, 1), 0)
    state = method.init(jax.random.key(0), batch.inputs)
    jax.eval_shape(method.update, state, batch, batch)
    assert len(calls) == 4
