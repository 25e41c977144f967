"""Designs uphill: features moved along the gradient through a surrogate, then rounded.

BOSHNAS (GOBI), Tuli et al. 2022, https://arxiv.org/abs/2205.11656.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.strategies.acquisition.model import Acquisition, Model, best
from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.designs.features import nearest, one_hot
from jaxnas.strategies.goals import order
from jaxnas.strategies.local_search import neighbours
from jaxnas.strategies.strategy import History

TRUST = 0.25  # how far a feature moves from its start: the paper's trust region


def uphill(
    space: DesignSpace, *, starts: int = 16, steps: int = 50, rate: float = 0.05
) -> Acquisition:
    """The best unseen design at the end of each of `starts` ascents, of one goal.

    Half of them start at the best that were evaluated, half at random. Adam climbs the optimistic
    prediction (the paper's AdaHessian is of second order) within a quarter of each start, in
    [0, 1]; what is proposed is the best predicted of the design nearest to the end and its
    neighbours in one variable (the paper takes the nearest alone). The surrogate needs `traced`,
    the features are one-hot.
    """

    def propose(model: Model, history: History, random: np.random.Generator, count: int) -> Designs:
        count_best = min(starts // 2, len(history.designs))
        places = order(model.goals, history.values)
        designs = np.concatenate([
            history.designs[places[:count_best]],
            variation.uniform(space, random, starts - count_best),
        ])  # fmt: skip
        fitted, goal = model.fitted[0], model.goals[0]
        climb = _climb(fitted.traced, steps, rate)
        ends = climb(
            fitted.parameters, one_hot(space, designs).astype(np.float32),
            np.float32(goal.sign), np.float32(model.optimism),
        )  # fmt: skip
        seen, found = set(history.seen), []
        for row in nearest(space, np.asarray(ends)):
            near = np.concatenate([row[None], neighbours(space, row)])
            new = variation.unseen(space, lambda n, near=near: near, len(near), seen)
            if len(new):
                found.append(best(model, new, 1))
                seen.add(found[-1][0].tobytes())
        rows = np.concatenate([variation.empty(space), *found])
        return best(model, rows, count)

    return propose


@functools.cache
def _climb(traced, steps: int, rate: float):
    """(parameters, f32[starts, F], sign, optimism) -> f32[starts, F], compiled once."""
    transform = optax.adam(rate)

    def climb(parameters, x, sign, optimism):
        low, high = jnp.maximum(x - TRUST, 0), jnp.minimum(x + TRUST, 1)

        def height(at):
            mean, std = traced(parameters, at)
            return (sign * mean + optimism * std).sum()

        def step(carry, _):
            at, state = carry
            updates, state = transform.update(-jax.grad(height)(at), state)
            return (jnp.clip(at + updates, low, high), state), None

        return jax.lax.scan(step, (x, transform.init(x)), None, length=steps)[0][0]

    return jax.jit(climb)
