"""Losses of surrogates that JAX trains: squared error, Huber's, and a soft Kendall's tau."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax


class RegressionLoss(NamedTuple):
    """A loss of (predictions f[n], targets f[n], weights f[n] of the rows) -> f[]."""

    of: Callable[[Any, Any, Any], Any]
    has_scale: bool = True  # whether it tells predictions from multiples of them


def squared() -> RegressionLoss:
    """The mean squared error."""

    def of(predictions, targets, weights):
        return (weights * (predictions - targets) ** 2).sum() / weights.sum()

    return RegressionLoss(of)


def huber(delta: float = 1.0) -> RegressionLoss:
    """Huber's loss, linear beyond an error of `delta`: FBNetV3's, of standardised values."""

    def of(predictions, targets, weights):
        return (weights * optax.huber_loss(predictions, targets, delta=delta)).sum() / weights.sum()

    return RegressionLoss(of)


def soft_kendall(sharpness: float = 0.5) -> RegressionLoss:
    """-1 times a soft Kendall's tau: tanh in place of the sign of each pair's difference.

        -sum_(i != j) tanh(s (p_i - p_j) / 2) tanh(s (y_i - y_j) / 2) / (n (n - 1))

    Without ties it tends to -tau as the sharpness s grows. ParZC, https://arxiv.org/abs/2402.02105,
    whose code divides by n (n - 1) / 2 and so has twice this value.
    """

    def of(predictions, targets, weights):
        soft_sign = lambda x: jnp.tanh(sharpness * (x[:, None] - x[None]) / 2)
        pairs = weights[:, None] * weights[None] * (1 - jnp.eye(len(weights)))
        return -(pairs * soft_sign(predictions) * soft_sign(targets)).sum() / pairs.sum()

    return RegressionLoss(of, has_scale=False)
