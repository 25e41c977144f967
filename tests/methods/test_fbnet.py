"""FBNet: cooling, draws that stay finite, and networks that are sampled."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import schedules
from jaxnas.core.gates import relax
from jaxnas.methods import fbnet
from tests import drive, toy

LENGTH = {"steps_per_epoch": 2, "epochs": 4, "warm_up": 1}
SPACE = toy.supernet().space


@pytest.mark.parametrize(
    ("epoch", "temperature"), [(0, 5), (1, 4.78), (10, 3.18822), (45, 0.66005), (89, 0.091143)]
)
def test_the_temperature_cools_as_in_the_paper(epoch, temperature):
    at = schedules.per_epoch(schedules.exponential_decay(5.0, 0.956), 10)
    for step in (10 * epoch, 10 * epoch + 9):
        assert float(at(step)) == pytest.approx(temperature, abs=1e-5)


def test_nothing_overflows_at_the_end_of_the_schedule():
    """Even where logits are 50 apart."""
    relaxation = relax.gumbel_softmax(schedules.exponential_decay(5.0, 0.956))
    logits = jnp.array([[0.0, 50.0, -50.0, 1.0]])

    def loss(logits, key):
        gates = relaxation.gates({"a": logits}, None, key=key, step=89)["a"]
        return jnp.sum(gates * jnp.arange(4.0)), gates

    keys = jax.random.split(jax.random.key(0), 200)
    gradients, gates = toy.jit(jax.vmap(jax.grad(loss, has_aux=True), (None, 0)))(logits, keys)
    assert np.isfinite(gradients).all() and np.isfinite(gates).all()
    np.testing.assert_allclose(gates.sum(-1), 1, rtol=1e-5)


def test_logits_wait_while_weights_learn_and_then_follow():
    method = fbnet.fbnet(toy.supernet(), arch_every=2, **LENGTH)
    train, valid = toy.batches(1, 8), toy.batches(2, 8)
    update, state = toy.jit(method.update), toy.jit(method.init)(jax.random.key(0), train.inputs[0])
    arch, active = [state.arch["normal"]], []
    for n in range(8):
        state, metrics = update(state, toy.at(train, n), toy.at(valid, n))
        arch.append(state.arch["normal"])
        active.append(int(metrics["arch/active"]))
        assert all(np.isfinite(value) for value in metrics.values())
    assert active == [0, 0, 1, 0, 1, 0, 1, 0]
    assert np.array_equal(arch[0], arch[2]) and not np.array_equal(arch[2], arch[3])


def test_samples_are_drawn_by_their_chances():
    chances = {"a": np.array([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6]], np.float32)}
    drawn = np.asarray(fbnet.sample(chances, 4000, seed=1)["a"])
    assert drawn.shape == (4000, 2, 3) and np.all(drawn.sum(-1) == 1)
    np.testing.assert_allclose(drawn.mean(0), chances["a"], atol=0.03)
    assert np.all(drawn[:, 0, 2] == 0)


def test_the_best_of_the_samples_is_found():
    settings = {"arch_every": 1, "warm_up": 1, "arch_learning_rate": 0.5}
    program = fbnet.best_of_samples(SPACE, epochs=2, samples=5, seed=3, **settings)
    ran = drive.run(program, make=lambda space: toy.supernet())
    (done,) = ran.finished
    drawn = fbnet.sample(done.gates, 5, 3)
    accuracy, _ = done.evaluate(drawn)
    best = int(np.argmax(accuracy))
    for name in SPACE:
        np.testing.assert_array_equal(ran.found.gates[name], drawn[name][best])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: schedules.exponential_decay(5.0, 1.0), "cannot cool"),
        (lambda: schedules.exponential_decay(0.0, 0.9), "cannot cool"),
        (lambda: fbnet.best_of_samples(SPACE, epochs=2, samples=0, seed=0), "samples >= 1"),
        (
            lambda: functools.partial(fbnet.fbnet, toy.supernet())(**LENGTH | {"warm_up": 4}),
            "warm_up",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
