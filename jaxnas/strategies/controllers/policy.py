"""A policy: a distribution over designs with parameters that a gradient moves.

Policies are made by cached factories of a design space's cardinalities: equal spaces share one
policy, and with it the programs that are compiled for it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Params = Any
IMPOSSIBLE = -1e9  # the logit of a value that a variable does not have


class Policy(NamedTuple):
    """Pure functions of parameters, compiled by who uses them. All random numbers are NumPy's."""

    init: Callable[[np.random.Generator], Params]
    noise: tuple[int, int]  # the shape of a design's noise
    # (params, noise f32[n, *noise], independent and Gumbel(0, 1)) -> i32[n, variables]
    sample: Callable[[Params, jax.Array], jax.Array]
    # i32[n, variables] -> (log-probability, entropy in nats), f32[n] each
    log_prob: Callable[[Params, jax.Array], tuple[jax.Array, jax.Array]]


def possible(cardinalities: Sequence[int]) -> np.ndarray:
    """bool[variables, most values]: which values each variable has."""
    return np.arange(max(cardinalities)) < np.array(cardinalities)[:, None]


def masked(logits: jax.Array, mask: np.ndarray | jax.Array) -> jax.Array:
    """Logits with those of impossible values at IMPOSSIBLE."""
    return jnp.where(mask, logits, IMPOSSIBLE)


def chosen_and_entropy(logits: jax.Array, values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log-probabilities of values i32[...] under logits f32[..., values], and the entropies."""
    log_p = jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(log_p, values[..., None], -1)[..., 0]
    return chosen, -jnp.sum(jnp.exp(log_p) * jnp.maximum(log_p, IMPOSSIBLE), -1)
