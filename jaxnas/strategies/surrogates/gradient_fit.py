"""Surrogates that JAX trains: an ensemble in one compiled program, for any number of designs.

The rows are padded to a power of two, those that are added weigh nothing, so that a search
compiles only a few programs; so are the rows of a prediction.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.strategies.surrogates.losses import RegressionLoss

LEAST_ROWS = 128
MOST_ROWS = 1024  # of a prediction at once: it has 128 or 1,024 rows


class Regressor(NamedTuple):
    """A network of one design, without a loss."""

    init: Callable[[Any, int], Any]  # (key, features) -> parameters
    apply: Callable[[Any, Any, Any], Any]  # (parameters, f32[n, F], key of its noise) -> f32[n]
    penalty: Callable[[Any], Any] = lambda parameters: 0.0  # beside the loss, a row


class NetworkTraining(NamedTuple):
    """How a regressor is trained: Adam with a cosine schedule, on all rows at once."""

    steps: int = 300
    rate: float = 1e-2
    decay: float = 1e-3  # weight decay, decoupled
    members: int = 5


def padded_rows(count: int) -> int:
    """The power of two, at least 128, to which so many rows are padded."""
    return max(LEAST_ROWS, 1 << (count - 1).bit_length())


def pad(rows: np.ndarray, count: int) -> np.ndarray:
    """f32[count, ...]: rows of zeros behind f[n, ...]."""
    rows = np.asarray(rows, np.float32)
    return np.pad(rows, ((0, count - len(rows)),) + ((0, 0),) * (rows.ndim - 1))


def random_key(random: np.random.Generator):
    """A key of JAX, of the generator that compiles fastest."""
    return jax.random.key(int(random.integers(2**31)), impl="rbg")


def train(
    regressor: Regressor,
    loss: RegressionLoss,
    training: NetworkTraining,
    x: np.ndarray,
    y: np.ndarray,
    random: np.random.Generator,
    initial: Any = None,
) -> Any:
    """Parameters of all members, stacked, after training on f[n, F] and f[n].

    `initial`: stacked parameters that training starts from; else each member draws its own. For
    one compilation, `regressor` and `loss` have to be the same objects for all fits.
    """
    rows = padded_rows(len(x))
    weights = pad(np.ones(len(x)), rows)
    keys = jax.random.split(random_key(random), training.members)
    if initial is None:
        initial = _initial(regressor, x.shape[1])(keys)
    program = _program(regressor, loss, training)
    return program(initial, keys, pad(x, rows), pad(y, rows), weights)


def descend(value: Callable[[Any, Any], Any], parameters: Any, training: NetworkTraining) -> Any:
    """Parameters after training by `value(parameters, step)`; to be traced by JAX."""
    schedule = optax.cosine_decay_schedule(training.rate, training.steps)
    transform = optax.adamw(schedule, weight_decay=training.decay)

    def step(carry, number):
        parameters, state = carry
        gradient = jax.grad(value)(parameters, number)
        updates, state = transform.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    carry = parameters, transform.init(parameters)
    return jax.lax.scan(step, carry, jnp.arange(training.steps))[0][0]


@functools.cache
def _initial(regressor: Regressor, features: int):
    return jax.jit(jax.vmap(lambda key: regressor.init(key, features)))


@functools.cache
def _program(regressor: Regressor, loss: RegressionLoss, training: NetworkTraining):
    def of_member(parameters, key, x, y, weights):
        def value(parameters, step):
            predictions = regressor.apply(parameters, x, jax.random.fold_in(key, step))
            penalty = regressor.penalty(parameters) / weights.sum()
            return loss.of(predictions, y, weights) + penalty

        return descend(value, parameters, training)

    return jax.jit(jax.vmap(of_member, in_axes=(0, 0, None, None, None)))


def predictor(traced: Callable[[Any, Any], tuple]) -> Callable[[Any, np.ndarray], tuple]:
    """`traced(parameters, x)` for NumPy arrays of any length, compiled for few lengths."""
    compiled = _compiled(traced)

    def predict(parameters: Any, x: np.ndarray) -> tuple[np.ndarray, ...]:
        parts = []
        for start in range(0, max(len(x), 1), MOST_ROWS):
            part = x[start : start + MOST_ROWS]
            rows = LEAST_ROWS if len(part) <= LEAST_ROWS else MOST_ROWS
            found = compiled(parameters, pad(part, rows))
            parts.append([np.asarray(of, np.float64)[: len(part)] for of in found])
        return tuple(map(np.concatenate, zip(*parts, strict=True)))

    return predict


@functools.cache
def _compiled(traced):
    return jax.jit(traced)
