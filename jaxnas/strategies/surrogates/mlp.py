"""An ensemble of multilayer perceptrons, trained by JAX in one program.

Deep ensembles, Lakshminarayanan et al. 2017, https://arxiv.org/abs/1612.01474.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.surrogates import gradient_fit
from jaxnas.strategies.surrogates.gradient_fit import NetworkTraining, Regressor
from jaxnas.strategies.surrogates.losses import RegressionLoss, squared
from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate, scale_of

SQUARED = squared()
HIDDEN = (64, 64)
TRAINING = NetworkTraining()


def mlp(
    loss: RegressionLoss = SQUARED,
    *,
    hidden: tuple[int, ...] = HIDDEN,
    training: NetworkTraining = TRAINING,
) -> Surrogate:
    """The mean of `training.members` networks; its std is theirs about it.

    Values are standardised. The predictions of a loss without a scale are fitted to the values by
    a line. Factories with equal settings share their compiled programs.
    """
    regressor, predict = perceptron(hidden), gradient_fit.predictor(traced)

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        scale = scale_of(y)
        networks = gradient_fit.train(regressor, loss, training, x, scale.scores(y), random)
        return of_networks(networks, loss, scale, x, y, predict)

    return fit


def of_networks(networks, loss, scale, x, y, predict) -> Fitted:
    """Predictions of trained networks, in the unit of f64[n] y."""
    parameters = {
        "networks": networks, "centre": np.float32(scale.centre), "width": np.float32(scale.width)
    }  # fmt: skip
    if not loss.has_scale:
        centre, width = line(predict(parameters, x)[0], y)
        # The line is composed with the scale that `traced` applies.
        parameters["centre"] = np.float32(centre + width * scale.centre)
        parameters["width"] = np.float32(width * scale.width)
    return Fitted(
        lambda at: predict(parameters, at)[0],
        lambda at: predict(parameters, at)[1],
        traced, parameters,
    )  # fmt: skip


def traced(parameters, x):
    """(mean, std), f32[m] each, of features f32[m, F]."""
    of = jax.vmap(lambda network: forward(network, x))(parameters["networks"])
    scaled = parameters["centre"] + parameters["width"] * of
    # The square root has no gradient where all members agree.
    return scaled.mean(0), jnp.sqrt(scaled.var(0) + 1e-12)


@functools.cache
def perceptron(hidden: tuple[int, ...]) -> Regressor:
    """Layers of ReLU units, one output; the same object for equal sizes."""
    init = lambda key, features: initial_layers(key, (features, *hidden, 1))
    return Regressor(init, lambda layers, x, key: forward(layers, x))


def initial_layers(key, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Dense layers: He et al. 2015's normal weights and zero biases."""
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": jax.random.normal(k, (a, b)) * jnp.sqrt(2 / a), "b": jnp.zeros(b)}
        for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def forward(layers: list[dict[str, Any]], x):
    """f32[n] of f32[n, F]: the first output."""
    return outputs(layers, x)[:, 0]


def outputs(layers: list[dict[str, Any]], x):
    """f32[n, outputs] of f32[n, F]."""
    for layer in layers[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def line(predictions: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """(intercept, slope) of the least squares line; the slope is at least zero.

    A loss of ranks alone never turns the order round.
    """
    centre, spread = predictions.mean(), predictions.var()
    slope = max(float(((predictions - centre) * (y - y.mean())).mean() / (spread or 1.0)), 0.0)
    return float(y.mean() - slope * centre), slope
