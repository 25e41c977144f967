"""A policy with Gaussian weights, and the information that a design brings about them.

AutoOD, Li et al. 2021, https://arxiv.org/abs/2006.11321, section 4.2, after VIME,
https://arxiv.org/abs/1605.09674 (both from memory).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.controllers.policy import Policy

DRAWS = 4  # of the noise, which stay the same: nothing random is part of a state


class Curious(NamedTuple):
    """A policy over weights that are normal, and its bonus."""

    policy: Policy
    bonus: Callable  # (params, designs i32[n, variables]) -> f32[n], in nats


def divergence(new, old) -> jax.Array:
    """KL(new || old) in nats of normal weights `{"mean": tree, "log_std": tree}`.

    sum log(s_old / s_new) + (s_new^2 + (m_new - m_old)^2) / (2 s_old^2) - 1/2.
    """

    def of_leaf(m_new, l_new, m_old, l_old):
        squares = jnp.exp(2 * (l_new - l_old)) + ((m_new - m_old) * jnp.exp(-l_old)) ** 2
        return jnp.sum(l_old - l_new + squares / 2 - 0.5)

    leaves = jax.tree.map(of_leaf, new["mean"], new["log_std"], old["mean"], old["log_std"])
    return sum(jax.tree.leaves(leaves))


@functools.cache
def curious(policy: Policy, std: float = 0.1, rate: float = 0.01) -> Curious:
    """`policy` with independent normal weights of the standard deviation `std` at the start.

    Four fixed draws of the noise stand for the distribution: designs are drawn with them in turn,
    and log-probabilities are averages over them. The bonus of a design is the divergence of the
    weights after one step of ascent, of `rate`, of its log-probability from those before.
    """

    def init(random):
        mean = policy.init(random)
        log_std = jax.tree.map(lambda m: np.full_like(m, np.log(std)), mean)
        return {"mean": mean, "log_std": log_std}

    def weights(params):
        """The weights of all draws, stacked."""
        random = np.random.default_rng(0)
        draw = lambda m, s: m + jnp.exp(s) * random.standard_normal((DRAWS, *m.shape), np.float32)
        return jax.tree.map(draw, params["mean"], params["log_std"])

    def sample(params, noise):
        designs = jax.vmap(policy.sample, (0, None))(weights(params), noise)
        rows = np.arange(len(noise))
        return designs[rows % DRAWS, rows]

    def log_prob(params, designs):
        both = jax.vmap(policy.log_prob, (0, None))(weights(params), designs)
        return jax.tree.map(lambda x: x.mean(0), both)

    def bonus(params, designs):
        def of_design(design):
            gradient = jax.grad(lambda p: log_prob(p, design[None])[0][0])(params)
            return divergence(jax.tree.map(lambda p, g: p + rate * g, params, gradient), params)

        return jax.vmap(of_design)(designs)

    return Curious(Policy(init, policy.noise, sample, log_prob), bonus)
