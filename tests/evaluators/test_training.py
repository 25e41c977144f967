"""Training a network: the paper's protocol, piece by piece."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas import data
from jaxnas.core.types import Batch, Network
from jaxnas.evaluators import training
from jaxnas.evaluators.training import Hyperparameters

SETTINGS = Hyperparameters(epochs=4, learning_rate=0.05, weight_decay=0.1, clip_norm=0.5)


def linear(extra=None) -> Network:
    """Logits `x @ w`; with `extra`, auxiliary logits `extra * x @ w`; no statistics."""

    def init(key, inputs):
        return {"w": jnp.ones((inputs.shape[-1], 3)) * jnp.arange(3.0)}, {}

    def apply(weights, stats, inputs, key, drop_path):
        logits = inputs @ weights["w"]
        if drop_path is not None:
            logits = logits * (1 - drop_path)
        return (logits, None if extra is None else extra * logits), stats

    return Network(init, apply, lambda weights, stats, inputs: inputs @ weights["w"])


BATCH = Batch(jnp.array([[1.0, 2.0], [0.5, -1.0]]), jnp.array([0, 2]))


def entropy(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, BATCH.labels).mean()


def trained(settings, net, steps, steps_per_epoch=2):
    trainer = training.trainer(net, settings, steps_per_epoch)
    state = trainer.init(jax.random.key(0), BATCH.inputs)
    metrics = []
    for _ in range(steps):
        state, measured = trainer.update(state, BATCH)
        metrics.append(measured)
    return trainer, state, metrics


def test_a_step_clips_then_decays_then_moves():
    trainer, state, _ = trained(SETTINGS, linear(), 0)
    start = state.weights["w"]
    grad = jax.grad(lambda w: entropy(BATCH.inputs @ w))(start)
    clipped = grad * jnp.minimum(1, 0.5 / jnp.linalg.norm(grad))
    after, _ = trainer.update(state, BATCH)
    expected = start - SETTINGS.learning_rate * (clipped + 0.1 * start)
    np.testing.assert_allclose(after.weights["w"], expected, rtol=1e-6)


def test_the_auxiliary_loss_counts_by_its_weight_and_is_not_reported():
    plain = SETTINGS._replace(clip_norm=1e9, weight_decay=0.0)
    both = plain._replace(auxiliary=0.4)
    _, state, (metrics,) = trained(both, linear(extra=2.0), 1)
    start = linear().init(None, BATCH.inputs)[0]["w"]
    loss = lambda w: entropy(BATCH.inputs @ w) + 0.4 * entropy(2 * BATCH.inputs @ w)
    expected = start - both.learning_rate * jax.grad(loss)(start)
    np.testing.assert_allclose(state.weights["w"], expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["loss/train"], entropy(BATCH.inputs @ start), rtol=1e-6)


def test_paths_are_dropped_more_with_each_epoch():
    rates = []

    def apply(weights, stats, inputs, key, drop_path):
        rates.append(float(drop_path))
        return (inputs @ weights["w"], None), stats

    net = linear()._replace(apply=apply)
    trainer = training.trainer(net, SETTINGS._replace(drop_path=0.2), 2)
    state = trainer.init(jax.random.key(0), BATCH.inputs)
    with jax.disable_jit():
        for step in range(8):
            trainer.update(state._replace(step=jnp.int32(step)), BATCH)
    np.testing.assert_allclose(rates, [0, 0, 0.05, 0.05, 0.1, 0.1, 0.15, 0.15], rtol=1e-6)


def test_the_average_of_the_weights_is_debiased_and_is_what_is_tested():
    settings = SETTINGS._replace(ema=0.9)
    trainer, state, _ = trained(settings, linear(), 1)
    np.testing.assert_allclose(trainer.tested(state)["w"], state.weights["w"], rtol=1e-6)
    first = state.weights["w"]
    state, _ = trainer.update(state, BATCH)
    expected = (0.9 * first + state.weights["w"]) / 1.9
    np.testing.assert_allclose(trainer.tested(state)["w"], expected, rtol=1e-6)


def test_without_an_average_the_last_weights_are_tested():
    trainer, state, _ = trained(SETTINGS, linear(), 2)
    assert trainer.tested(state) is state.weights


def test_every_test_image_is_predicted_once(monkeypatch):
    monkeypatch.setattr(training, "TEST_BATCH", 7)  # does not divide the 20 images
    digits = data.load("digits", limit=100)
    infer = lambda weights, stats, x: x.reshape(len(x), -1)
    logits = training.predict(linear()._replace(infer=infer), {}, {}, digits)
    expected = data.normalise(digits.test.inputs, digits.mean, digits.std).reshape(20, -1)
    np.testing.assert_allclose(logits, expected, rtol=1e-6)
