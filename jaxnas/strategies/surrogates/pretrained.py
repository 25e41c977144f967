"""A surrogate whose networks first learn what is known of designs for free.

FBNetV3, Dai et al. 2021, https://arxiv.org/abs/2006.02049: an encoder is trained to predict costs
of random networks, then an accuracy head is added and all is fitted to the few trained networks.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.surrogates import gradient_fit
from jaxnas.strategies.surrogates.gradient_fit import NetworkTraining
from jaxnas.strategies.surrogates.losses import RegressionLoss, huber
from jaxnas.strategies.surrogates.mlp import (
    HIDDEN,
    initial_layers,
    of_networks,
    outputs,
    perceptron,
    traced,
)
from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate, scale_of

HUBER = huber()
PRETRAINING = NetworkTraining(steps=1000)
FITTING = NetworkTraining(steps=300, rate=3e-3)


def pretrained(
    examples: Callable[[], tuple[np.ndarray, np.ndarray]],
    loss: RegressionLoss = HUBER,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    pretraining: NetworkTraining = PRETRAINING,
    training: NetworkTraining = FITTING,
) -> Surrogate:
    """`mlp` whose hidden layers start as those of networks that predict free statistics.

    `examples`: features f64[N, F] of designs and statistics f64[N, S] of each. They are asked for
    and learnt once, at the first fit, always with the same random numbers.
    """
    predict = gradient_fit.predictor(traced)

    @functools.cache
    def encoders():
        x, statistics = examples()
        keys = jax.random.split(jax.random.key(0), pretraining.members)
        return _pretrain(hidden, pretraining, keys, x, statistics)

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        scale = scale_of(y)
        key = gradient_fit.random_key(random)
        heads = jax.vmap(lambda k: initial_layers(k, (hidden[-1], 1))[0])(
            jax.random.split(key, training.members)
        )
        networks = gradient_fit.train(
            perceptron(hidden), loss, training, x, scale.scores(y), random,
            initial=[*encoders(), heads],
        )  # fmt: skip
        return of_networks(networks, loss, scale, x, y, predict)

    return fit


def _pretrain(hidden, pretraining: NetworkTraining, keys, x: np.ndarray, statistics: np.ndarray):
    """The hidden layers, stacked over members, after learning all standardised statistics."""
    spread = statistics.std(0)
    targets = (statistics - statistics.mean(0)) / np.where(spread > 0, spread, 1)
    sizes = (x.shape[1], *hidden, statistics.shape[1])
    x, targets = jnp.asarray(x, jnp.float32), jnp.asarray(targets, jnp.float32)

    def of_member(key):
        loss = lambda layers, step: ((outputs(layers, x) - targets) ** 2).mean()
        return gradient_fit.descend(loss, initial_layers(key, sizes), pretraining)

    return jax.jit(jax.vmap(of_member))(keys)[:-1]
