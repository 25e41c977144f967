"""Performance by training: a network trained on all training images, and its logits.

DARTS, section 3.1; quark0/darts cnn/train.py.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas import data
from jaxnas.core import metrics, schedules
from jaxnas.core.types import Batch, Key, Network, Scalar, Stats, Weights
from jaxnas.run import step_runner

TEST_BATCH = 500


class Hyperparameters(NamedTuple):
    """Of a training with SGD, momentum 0.9 and a half cosine to 0, once an epoch."""

    epochs: int
    learning_rate: float  # at the start
    weight_decay: float
    clip_norm: float  # of the whole gradient
    drop_path: float = 0.0  # probability in the last epoch; rises from 0
    auxiliary: float = 0.0  # weight of the auxiliary classifier's loss
    ema: float | None = None  # decay of an average of the weights, which is tested then


class TrainState(NamedTuple):
    step: Scalar  # i32[]
    key: Key  # fixed: keys come by fold_in(key, step)
    weights: Weights
    stats: Stats
    opt: optax.OptState
    average: Weights  # of the weights, from zero; () where none is kept


class Trainer(NamedTuple):
    """`update(state, batch)` is one step; `tested(state)` gives the weights to be tested."""

    init: Callable[[Key, jax.Array], TrainState]
    update: Callable[[TrainState, Batch], tuple[TrainState, dict[str, Scalar]]]
    tested: Callable[[TrainState], Weights]


def trainer(net: Network, settings: Hyperparameters, steps_per_epoch: int) -> Trainer:
    """The training of `net`.

    Metrics: `loss/train` (without the auxiliary head's part), `accuracy/train`.
    """
    rate = schedules.cosine_by_epoch(
        settings.learning_rate, 0, epochs=settings.epochs, steps_per_epoch=steps_per_epoch
    )
    tx = optax.chain(
        optax.clip_by_global_norm(settings.clip_norm),
        optax.add_decayed_weights(settings.weight_decay),
        optax.sgd(rate, momentum=0.9),
    )

    def init(key: Key, inputs: jax.Array) -> TrainState:
        k_net, k_steps = jax.random.split(key)
        weights, stats = net.init(k_net, inputs)
        average = optax.tree.zeros_like(weights) if settings.ema else ()
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero, k_steps, weights, stats, tx.init(weights), average)

    def loss(weights, state: TrainState, batch: Batch):
        drop_path = None
        if settings.drop_path:
            drop_path = settings.drop_path * (state.step // steps_per_epoch) / settings.epochs
        key = jax.random.fold_in(state.key, state.step)
        (logits, extra), stats = net.apply(weights, state.stats, batch.inputs, key, drop_path)
        main = total = metrics.cross_entropy(logits, batch.labels)
        if extra is not None:
            total = main + settings.auxiliary * metrics.cross_entropy(extra, batch.labels)
        accuracy = metrics.accuracy(logits, batch.labels)
        return total, (stats, {"loss/train": main, "accuracy/train": accuracy})

    def update(state: TrainState, batch: Batch):
        evaluate = jax.grad(loss, has_aux=True)
        grads, (stats, figures) = evaluate(state.weights, state, batch)
        updates, opt = tx.update(grads, state.opt, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        average = state.average
        if settings.ema:
            average = optax.tree.update_moment(weights, average, settings.ema, 1)
        step = state.step + 1
        return TrainState(step, state.key, weights, stats, opt, average), figures

    def tested(state: TrainState) -> Weights:
        if not settings.ema:
            return state.weights
        return optax.tree.bias_correction(state.average, settings.ema, state.step)

    return Trainer(init, update, tested)


def predict(net: Network, weights: Weights, stats: Stats, dataset: data.DataSet) -> np.ndarray:
    """f32[N, classes]: the logits of the test images, batch by batch."""
    inputs = dataset.test.inputs
    size = min(TEST_BATCH, len(inputs))

    def infer(weights, stats, pixels):
        return net.infer(weights, stats, data.normalise(pixels, dataset.mean, dataset.std))

    is_run_once = len(inputs) <= size and jax.default_backend() == "cpu"
    infer = jax.jit(infer, compiler_options=step_runner.UNOPTIMISED if is_run_once else None)

    logits = []
    for start in range(0, len(inputs), size):
        # The last batch is filled up with images seen before, so that one program does.
        rows = np.minimum(np.arange(start, start + size), len(inputs) - 1)
        logits.append(np.asarray(infer(weights, stats, inputs[rows])))
    return np.concatenate(logits)[: len(inputs)]
