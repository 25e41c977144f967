"""A factorised policy: every variable has a softmax of its own.

It is a multi-agent controller whose agents are bandits, one a variable.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.controllers import policy
from jaxnas.strategies.controllers.policy import Policy


@functools.cache
def factorised(cardinalities: tuple[int, ...]) -> Policy:
    """Parameters f32[variables, most values], zero at the start: all values equally likely."""
    mask = policy.possible(cardinalities)

    def sample(params, noise) -> jax.Array:
        return jnp.argmax(policy.masked(params, mask) + noise, -1)

    def log_prob(params, designs):
        logits = jnp.broadcast_to(policy.masked(params, mask), (len(designs), *mask.shape))
        chosen, entropy = policy.chosen_and_entropy(logits, designs)
        return chosen.sum(1), entropy.sum(1)

    return Policy(lambda random: np.zeros(mask.shape, np.float32), mask.shape, sample, log_prob)
