"""Losses on remembered designs, which a controller adds to its objective."""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp

from jaxnas.strategies.controllers.policy import Policy
from jaxnas.strategies.controllers.recurrent import Recurrent


class Recall(NamedTuple):
    """A loss on a buffer of designs that were told."""

    # (params, designs i32[size, variables], advantages f32[size], f32[size]: 1 where there is
    # one) -> f32[]; an advantage is (reward - baseline) over the rewards' standard deviation
    loss: Callable
    chosen: Literal["best", "latest"]  # which designs the buffer holds
    size: int
    weight: float


@functools.cache
def imitating(policy: Policy, size: int, weight: float) -> Recall:
    """Self-imitation: -log pi(design) (reward - baseline)+, of the best designs.

    No gradient at or below the baseline. Oh et al. 2018, https://arxiv.org/abs/1806.05635, without
    their value loss (the baseline is no network here); as AutoOD, section 4.3 (from memory).
    """

    def loss(params, designs, advantages, present):
        log_prob, _ = policy.log_prob(params, designs)
        return -jnp.sum(log_prob * jnp.maximum(advantages, 0) * present) / size

    return Recall(loss, "best", size, weight)


@functools.cache
def replayed(policy: Recurrent, size: int, weight: float) -> Recall:
    """The hidden state after a design must tell which design it was, of the latest ones.

    -log pi(design | hidden state after it was drawn), so that the state encodes the past choices.
    Adam and Lorraine 2019, https://arxiv.org/abs/1904.00438 (from memory).
    """

    def loss(params, designs, advantages, present):
        del advantages
        log_prob, _ = policy.log_prob_from(params, policy.read(params, designs), designs)
        return -jnp.sum(log_prob * present) / size

    return Recall(loss, "latest", size, weight)
