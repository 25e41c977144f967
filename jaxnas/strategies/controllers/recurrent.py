"""A recurrent policy: an LSTM that draws one variable after another.

Zoph and Le 2017, https://arxiv.org/abs/1611.01578; as NASNet's controller,
https://arxiv.org/abs/1707.07012, appendix A (from memory: one layer, weights uniform in +-0.1).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.controllers import policy
from jaxnas.strategies.controllers.policy import Policy

INITIAL = 0.1  # weights are uniform in +- this


class Recurrent(NamedTuple):
    """An LSTM policy, and what it does from another hidden state than zero."""

    policy: Policy
    # (params, designs) -> the hidden states (c, h), f32[n, hidden] each, after they were drawn
    read: Callable
    # (params, hidden states, noise) -> designs i32[n, variables], one from each
    sample_from: Callable
    # (params, hidden states, designs) -> (log-probability, entropy) of each from its state
    log_prob_from: Callable


@functools.cache
def recurrent(cardinalities: tuple[int, ...], hidden: int = 64) -> Recurrent:
    """`hidden` units. Every variable has its own softmax and its own embeddings of values.

    Raises ValueError for `hidden` below 1.
    """
    if hidden < 1:
        raise ValueError(f"hidden is {hidden}: an LSTM has 1 unit or more.")
    mask = policy.possible(cardinalities)
    count, most = mask.shape

    def init(random):
        shapes = {
            "start": (hidden,),
            "embedding": (count, most, hidden),
            "kernel": (2 * hidden, 4 * hidden),
            "bias": (4 * hidden,),
            "output": (count, hidden, most),
        }
        draw = lambda shape: random.uniform(-INITIAL, INITIAL, shape).astype(np.float32)
        return {name: draw(shape) for name, shape in shapes.items()}

    def step(params, carry, variable):
        """One LSTM step: carry (c, h, input), variable (output weights, mask) -> logits."""
        c, h, x = carry
        gates = jnp.concatenate([x, h], -1) @ params["kernel"] + params["bias"]
        i, f, g, o = jnp.split(gates, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        output, possible = variable
        return (c, h), policy.masked(h @ output, possible)

    def begin(params, states):
        c, h = states
        return c, h, jnp.broadcast_to(params["start"], c.shape)

    def zero(n: int):
        return jnp.zeros((n, hidden)), jnp.zeros((n, hidden))

    def sample_from(params, states, noise):
        def draw(carry, variable):
            noise, output, possible, embedding = variable
            (c, h), logits = step(params, carry, (output, possible))
            values = jnp.argmax(logits + noise, -1)
            return (c, h, embedding[values]), values

        variables = jnp.swapaxes(noise, 0, 1), params["output"], mask, params["embedding"]
        return jax.lax.scan(draw, begin(params, states), variables)[1].T

    def follow(params, states, designs):
        def score(carry, variable):
            values, output, possible, embedding = variable
            (c, h), logits = step(params, carry, (output, possible))
            return (c, h, embedding[values]), policy.chosen_and_entropy(logits, values)

        variables = (designs.T, params["output"], mask, params["embedding"])
        return jax.lax.scan(score, begin(params, states), variables)

    def log_prob_from(params, states, designs):
        chosen, entropy = follow(params, states, designs)[1]
        return chosen.sum(0), entropy.sum(0)

    def read(params, designs):
        c, h, x = follow(params, zero(len(designs)), designs)[0]
        # The last value has been drawn and not yet been read.
        return step(params, (c, h, x), (params["output"][0], mask[0]))[0]

    return Recurrent(
        Policy(
            init,
            mask.shape,
            lambda params, noise: sample_from(params, zero(len(noise)), noise),
            lambda params, designs: log_prob_from(params, zero(len(designs)), designs),
        ),
        read,
        sample_from,
        log_prob_from,
    )
