"""A controller: a policy that draws designs and is trained by their rewards.

REINFORCE, Williams 1992, https://doi.org/10.1007/BF00992696, with a moving baseline; with several
passes over a batch, PPO's clipped objective, Schulman et al. 2017,
https://arxiv.org/abs/1707.06347, equation 7.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.strategies import strategy
from jaxnas.strategies.controllers.policy import Params, Policy
from jaxnas.strategies.controllers.recall import Recall
from jaxnas.strategies.controllers.reward import rewards, spread
from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import History, Strategy

ROUNDS = 50  # of draws, until enough designs are valid
CLIPPED = 3.0  # advantages are clipped to +- this; our choice


class PolicyTraining(NamedTuple):
    """How rewards train a policy. Advantages are in standard deviations of all rewards told."""

    learning_rate: float  # of Adam
    batch: int = 10  # designs an update
    decay: float = 0.9  # of the baseline's moving mean
    entropy: float = 0.0  # weight of the entropy, in nats
    passes: int = 1  # over each batch; more than one: PPO
    clip: float = 0.2  # of the ratio of probabilities, with several passes


class Additions(NamedTuple):
    """What some controllers add."""

    recall: Recall | None = None  # a loss on remembered designs
    bonus: Callable[[Params, jax.Array], jax.Array] | None = None  # f32[n], nats
    # Weight of the bonus over the batch's mean bonus, in standard deviations of the rewards.
    curiosity: float = 0.0


class ControllerState(NamedTuple):
    """A function of what was told."""

    params: Params
    opt: optax.OptState
    baseline: float  # NaN before the first reward
    history: History
    rewards: np.ndarray  # f64[n] of the history; NaN: nothing but failures until then


class _Rows(NamedTuple):
    """Designs for a compiled program: always as many, filled up with zeros."""

    designs: np.ndarray  # i32[size, variables]
    advantages: np.ndarray  # f32[size]
    present: np.ndarray  # f32[size], 1 or 0


class _Program(NamedTuple):
    init: Callable[[], tuple[Params, optax.OptState]]
    sample: Callable[[Params, np.ndarray], jax.Array]
    update: Callable[..., tuple[Params, optax.OptState]]  # (params, opt, batch, memory)


def controller(
    space: DesignSpace,
    goals: Goals,
    policy: Policy,
    training: PolicyTraining,
    additions: Additions = Additions(),  # noqa: B008
) -> Strategy:
    """Asks for draws of the policy, known designs included; a tell updates it, batch by batch.

    Draws become canonical before they are told, and what is told is what is made likelier. The
    initial weights are always the same, since nothing random is part of a state. Raises ValueError
    unless there is one objective, and for settings that make no sense.
    """
    _check(goals, training)
    program = _program(policy, training, additions)
    recalled = 0 if additions.recall is None else additions.recall.size

    def init() -> ControllerState:
        history = strategy.empty_history(space, len(goals))
        return ControllerState(*program.init(), np.nan, history, np.zeros(0))

    def ask(state: ControllerState, random: np.random.Generator, count: int) -> Designs:
        found = variation.empty(space)
        for _ in range(ROUNDS):
            if len(found) >= count:
                break
            noise = random.gumbel(size=(training.batch, *policy.noise)).astype(np.float32)
            drawn = program.sample(state.params, noise)
            rows = np.ascontiguousarray(space.canonical(np.asarray(drawn, np.int64)))
            found = np.concatenate([found, rows[space.is_valid(rows)]])[:count]
        # Where a policy draws nothing that is valid, the search goes on at random.
        return found if len(found) else variation.sample(space, random, count)

    def tell_batch(state: ControllerState, designs: Designs, values: np.ndarray):
        earned = rewards(goals, values, state.rewards)
        all_rewards = np.concatenate([state.rewards, earned])
        history = strategy.extend(state.history, designs, values)
        if not np.isfinite(earned).any():
            return state._replace(history=history, rewards=all_rewards)
        mean, scale = float(np.nanmean(earned)), spread(all_rewards)
        baseline = mean if np.isnan(state.baseline) else state.baseline
        batch = _rows(training.batch, designs, (earned - baseline) / scale)
        advantages = (all_rewards - baseline) / scale
        memory = _rows(recalled, *_remembered(additions.recall, history.designs, advantages))
        params, opt = program.update(state.params, state.opt, batch, memory)
        moved = training.decay * baseline + (1 - training.decay) * mean
        return ControllerState(params, opt, moved, history, all_rewards)

    def tell(state: ControllerState, designs: Designs, values: np.ndarray) -> ControllerState:
        values = np.asarray(values, float).reshape(len(designs), len(goals))
        for start in range(0, len(designs), training.batch):
            part = slice(start, start + training.batch)
            state = tell_batch(state, designs[part], values[part])
        return state

    return Strategy(init, ask, tell, training.batch)


@functools.cache
def _program(policy: Policy, training: PolicyTraining, additions: Additions) -> _Program:
    """What is compiled, once for a policy and its settings, whatever the seeds and goals."""
    tx = optax.adam(training.learning_rate)
    recall, bonus = additions.recall, additions.bonus

    def init():
        params = policy.init(np.random.default_rng(0))
        return params, jax.jit(tx.init)(params)

    @jax.jit
    def update(params, opt, batch: _Rows, memory: _Rows):
        before, _ = policy.log_prob(params, batch.designs)
        advantages = batch.advantages
        if bonus is not None:
            gain = bonus(params, batch.designs)
            usual = jnp.maximum(_mean(gain, batch.present), 1e-12)
            advantages += additions.curiosity * (gain / usual - 1)

        def loss(params):
            log_prob, entropy = policy.log_prob(params, batch.designs)
            gained = log_prob * advantages
            if training.passes > 1:
                ratio = jnp.exp(log_prob - before)
                near = jnp.clip(ratio, 1 - training.clip, 1 + training.clip)
                gained = jnp.minimum(ratio * advantages, near * advantages)
            total = -_mean(gained + training.entropy * entropy, batch.present)
            if recall is not None:
                total += recall.weight * recall.loss(params, *memory)
            return total

        def descend(_, trees):
            updates, opt = tx.update(jax.grad(loss)(trees[0]), trees[1], trees[0])
            return optax.apply_updates(trees[0], updates), opt

        if training.passes == 1:
            return descend(0, (params, opt))
        return jax.lax.fori_loop(0, training.passes, descend, (params, opt))

    return _Program(init, jax.jit(policy.sample), update)


def _mean(values: jax.Array, present: jax.Array) -> jax.Array:
    return jnp.sum(values * present) / jnp.maximum(jnp.sum(present), 1)


def _rows(size: int, designs: Designs, advantages: np.ndarray) -> _Rows:
    """At most `size` rows, without those that have no advantage."""
    known = np.isfinite(advantages)
    designs, advantages = designs[known][:size], advantages[known][:size]
    pad = size - len(designs)
    return _Rows(
        np.pad(designs, ((0, pad), (0, 0))).astype(np.int32),
        np.pad(np.clip(advantages, -CLIPPED, CLIPPED), (0, pad)).astype(np.float32),
        np.pad(np.ones(len(designs), np.float32), (0, pad)),
    )


def _remembered(
    recall: Recall | None, designs: Designs, advantages: np.ndarray
) -> tuple[Designs, np.ndarray]:
    """The designs of the buffer, each once, and their advantages."""
    if recall is None:
        return designs[:0], advantages[:0]
    _, last = np.unique(designs[::-1], axis=0, return_index=True)
    rows = np.sort(len(designs) - 1 - last)[::-1]  # the latest first
    if recall.chosen == "best":
        rows = rows[np.argsort(-np.nan_to_num(advantages[rows], nan=-np.inf), kind="stable")]
    return designs[rows][: recall.size], advantages[rows][: recall.size]


def _check(goals: Goals, training: PolicyTraining) -> None:
    if sum(goal.sign != 0 for goal in goals) != 1:
        raise ValueError("A controller is rewarded for one goal: turn the others into limits.")
    if not training.learning_rate > 0 or training.batch < 1 or training.passes < 1:
        raise ValueError(
            f"learning_rate {training.learning_rate}, batch {training.batch} and passes "
            f"{training.passes} must be above 0."
        )
    if not 0 <= training.decay < 1 or not training.clip > 0 or not training.entropy >= 0:
        raise ValueError(
            f"decay {training.decay} must be in [0, 1), clip {training.clip} above 0, entropy "
            f"{training.entropy} 0 or more."
        )
