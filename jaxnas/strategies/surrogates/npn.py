"""Networks with two uncertainties: of the values, and of the model.

BOSHNAS, Tuli et al. 2022, https://arxiv.org/abs/2205.11656: a natural-parameter network (Wang et
al. 2016, https://arxiv.org/abs/1611.00448), whose weights have means and variances, predicts the
mean and the aleatoric variance; a teacher with dropout has the epistemic one, by the spread of its
passes, which a student learns, so that it can be differentiated.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.surrogates import gradient_fit
from jaxnas.strategies.surrogates.gradient_fit import NetworkTraining
from jaxnas.strategies.surrogates.mlp import forward, initial_layers
from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate, scale_of

TRAINING = NetworkTraining(steps=300)
HIDDEN = (64, 32)  # the paper's teacher
DROPOUT = 0.3
PASSES = 50  # the paper has 10, whose spread is itself a quarter uncertain
PROBES = 2048  # inputs at which the student learns the teacher's spread
LEAST_VARIANCE = 1e-4  # of standardised values


def npn(*, training: NetworkTraining = TRAINING) -> Surrogate:
    """The mean of a natural-parameter network; its std is the sum of both uncertainties.

    Half aleatoric and half epistemic would be the paper's weights: give `optimism` 0.5.
    """
    predict, program = gradient_fit.predictor(traced), _program(training)

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        scale, rows = scale_of(y), gradient_fit.padded_rows(len(x))
        pad = lambda of: gradient_fit.pad(of, rows)
        networks = program(
            gradient_fit.random_key(random),
            pad(x),
            pad(scale.scores(y)),
            pad(np.ones(len(x))),
            probes(x, random),
        )
        parameters = {
            **networks, "centre": np.float32(scale.centre), "width": np.float32(scale.width)
        }  # fmt: skip
        return Fitted(
            lambda at: predict(parameters, at)[0],
            lambda at: predict(parameters, at)[1],
            traced, parameters,
        )  # fmt: skip

    return fit


def traced(parameters, x):
    """(mean, std), f32[m] each, of features f32[m, F]."""
    mean, variance = moments(parameters["network"], x)
    std = jnp.sqrt(variance + LEAST_VARIANCE) + epistemic(parameters, x)
    width = parameters["width"]
    return parameters["centre"] + width * mean, width * std


def moments(layers, x):
    """(mean, variance), f32[n] each, of a natural-parameter network's output at f32[n, F]."""
    variance = jnp.zeros_like(x)
    for number, layer in enumerate(layers):
        if number:
            x, variance = relu_moments(x, variance)
        x, variance = linear_moments(layer, x, variance)
    return x[:, 0], variance[:, 0]


def linear_moments(layer, mean, variance):
    """Moments of x W + b, all independent: x of the given moments, W and b of the layer's."""
    of_weights = jax.nn.softplus(layer["w_spread"])
    spread = (variance + mean**2) @ of_weights + variance @ layer["w"] ** 2
    return mean @ layer["w"] + layer["b"], spread + jax.nn.softplus(layer["b_spread"])


def relu_moments(mean, variance):
    """Mean and variance of max(0, x) of a normal x."""
    std = jnp.sqrt(variance + 1e-12)
    ratio = mean / std
    below, density = jax.scipy.stats.norm.cdf(ratio), jax.scipy.stats.norm.pdf(ratio)
    found = mean * below + std * density
    second = (mean**2 + variance) * below + mean * std * density
    return found, jnp.maximum(second - found**2, 0)


def epistemic(parameters, x):
    """f32[n]: the teacher's spread as the student has learnt it, of standardised values."""
    return jax.nn.softplus(forward(parameters["student"], x))


def teacher_spread(teacher, x, key):
    """f32[n]: the standard deviation of the teacher's passes."""
    keys = jax.random.split(key, PASSES)
    return jax.vmap(lambda k: dropped(teacher, x, k))(keys).std(0)


def dropped(layers, x, key):
    """f32[n]: a pass with dropout in the hidden layers."""
    for number, layer in enumerate(layers[:-1]):
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
        kept = jax.random.bernoulli(jax.random.fold_in(key, number), 1 - DROPOUT, x.shape)
        x = jnp.where(kept, x / (1 - DROPOUT), 0)
    return (x @ layers[-1]["w"] + layers[-1]["b"])[:, 0]


def probes(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """f32[2048, F]: where the student learns (ours; the paper's learns at the designs alone).

    An eighth are mixtures of two designs, the others have each feature of another design.
    """
    first, second = x[random.integers(0, len(x), (2, PROBES // 8))]
    share = random.random((len(first), 1))
    columns = np.arange(x.shape[1])
    shuffled = x[random.integers(0, len(x), (PROBES - len(first), x.shape[1])), columns]
    mixed = np.concatenate([share * first + (1 - share) * second, shuffled])
    return mixed.astype(np.float32)


@functools.cache
def _program(training: NetworkTraining):
    def networks(key, x, y, weights, at):
        k_network, k_teacher, k_student, k_dropout, k_spread = jax.random.split(key, 5)
        sizes = (x.shape[1], *HIDDEN, 1)
        mean_of = lambda of_rows: (weights * of_rows).sum() / weights.sum()

        def of_network(layers, step):
            mean, variance = moments(layers, x)
            variance = variance + LEAST_VARIANCE
            return mean_of(jnp.log(variance) + (y - mean) ** 2 / variance) / 2

        def of_teacher(layers, step):
            return mean_of((dropped(layers, x, jax.random.fold_in(k_dropout, step)) - y) ** 2)

        network = gradient_fit.descend(of_network, _spread_layers(k_network, sizes), training)
        teacher = gradient_fit.descend(of_teacher, initial_layers(k_teacher, sizes), training)
        target = teacher_spread(teacher, at, k_spread)

        def of_student(layers, step):
            return ((jax.nn.softplus(forward(layers, at)) - target) ** 2).mean()

        student = gradient_fit.descend(of_student, initial_layers(k_student, sizes), training)
        return {"network": network, "teacher": teacher, "student": student}

    return jax.jit(networks)


def _spread_layers(key, sizes):
    """Dense layers whose weights have small variances (ours: softplus(-5), 0.007)."""
    small = lambda of: jnp.full_like(of, -5.0)
    return [
        {**layer, "w_spread": small(layer["w"]), "b_spread": small(layer["b"])}
        for layer in initial_layers(key, sizes)
    ]
