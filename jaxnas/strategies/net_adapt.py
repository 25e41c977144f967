"""NetAdapt: a trained network loses channels, step by step, until it fits a budget.

Yang et al. 2018, https://arxiv.org/abs/1804.03230, algorithm 1. At every step each part of the
network is narrowed until the step's share of the cost is saved, tuned for a short time, and the
narrowed network that judges best is kept. Thoroughly tuning the last one is the caller's.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core.types import Batch, Scalar, Stats, Weights
from jaxnas.nets import channel_groups
from jaxnas.nets.channel_groups import ChannelMasks, PrunableNetwork

# Below this share of the first cost a step is no step.
LEAST_SHARE = 1e-4


class BudgetError(ValueError):
    """No part can lose more channels, and the budget is not met."""


class Step(NamedTuple):
    """One narrowing that was kept."""

    part: str
    width: int  # channels that are left there
    cost: float
    score: float  # after the short tuning


class Narrowing(NamedTuple):
    """What can be narrowed, and how. A network is whatever these functions understand.

    `widths(net)`: channels of each part; `narrowed(net, part, width)`: None where that cannot be;
    `cost(net)`: milliseconds, say; `tuned(net)`: after a short training; `score(net)`: the higher
    the better.
    """

    widths: Callable[[Any], Mapping[str, int]]
    narrowed: Callable[[Any, str, int], Any | None]
    cost: Callable[[Any], float]
    tuned: Callable[[Any], Any]
    score: Callable[[Any], float]


def adapt(
    net: Any,
    how: Narrowing,
    budget: float,
    *,
    first: float = 0.03,
    decay: float = 0.96,
    multiple: int = 1,
    told: Callable[[Step], None] = lambda step: None,
) -> tuple[Any, list[Step]]:
    """(the network within `budget`, the steps to it), every step strictly cheaper than the last.

    `told` hears of each step that is kept; widths that are tried are multiples of `multiple`.

    The first step saves the share `first` of the cost, each next one `decay` times as much, the
    last as much as is missing; where no part can save it alone, half of it is tried (ours). Both
    defaults are from memory of the paper. A part's width is found by bisection, which takes
    cost to fall with width; what costs more than it should is left out, not kept. Raises
    BudgetError for a budget that cannot be met, ValueError for one that is met already and unless
    0 < first < 1, 0 < decay <= 1 and multiple >= 1.
    """
    if not (0 < first < 1 and 0 < decay <= 1 and multiple >= 1):
        raise ValueError(
            f"Need 0 < first < 1, 0 < decay <= 1 and multiple >= 1, not {first}, {decay} and "
            f"{multiple}."
        )
    start = now = how.cost(net)
    if not (math.isfinite(budget) and 0 < budget < start):
        raise ValueError(
            f"The network costs {start:g}: give a budget between 0 and that, not {budget:g}."
        )
    saving, steps = first * start, []
    while now > budget:
        goal = max(now - saving, budget)
        proposals = _proposals(net, how, goal, multiple)
        if not proposals:
            saving = min(saving, now - budget) / 2
            if saving < LEAST_SHARE * start:
                raise BudgetError(
                    f"No part can lose more channels at a cost of {now:g}: a budget of {budget:g} "
                    "cannot be met."
                )
            continue
        tuned = [(part, width, how.tuned(other)) for part, width, other in proposals]
        part, width, net = max(tuned, key=lambda found: how.score(found[2]))
        cost = how.cost(net)
        assert cost < now
        steps.append(Step(part, width, cost, how.score(net)))
        told(steps[-1])
        now, saving = cost, saving * decay
    return net, steps


def _proposals(net: Any, how: Narrowing, goal: float, multiple: int) -> list[tuple[str, int, Any]]:
    """Every part by itself as wide as the goal allows, where it allows any width."""
    found = []
    for part, width in how.widths(net).items():
        low, high, best = 1, (width - 1) // multiple, None
        while low <= high:
            middle = (low + high + 1) // 2
            other = how.narrowed(net, part, middle * multiple)
            if other is None:  # a single width that cannot be: look on below
                other = how.narrowed(net, part, (middle - 1) * multiple) if middle > low else None
                middle -= 1
            if other is not None and how.cost(other) <= goal:
                best, low = (part, middle * multiple, other), middle + 1
            else:
                high = middle - 1
        if best is not None:
            found.append(best)
    return found


class Narrow(NamedTuple):
    """A network on the way: zeros stand where channels went."""

    kept: ChannelMasks
    weights: Weights
    stats: Stats


class Fitted(NamedTuple):
    """What is left, as `Subject.left` says it, with the weights of its network."""

    left: Any
    weights: Weights
    stats: Stats
    steps: list[Step]


def network(
    subject: PrunableNetwork,
    weights: Weights,
    stats: Stats,
    *,
    cost: Callable[[Any], float],
    budget: float,
    train: Callable[[int], Batch],
    valid: Batch,
    steps: int = 20,
    learning_rate: float = 0.01,
    first: float = 0.03,
    decay: float = 0.96,
    multiple: int = 1,
    told: Callable[[Step], None] = lambda step: None,
) -> Fitted:
    """A trained network narrowed into a budget.

    `cost(left)` is in the units of the budget: multiply-accumulates, or a prediction or
    measurement in milliseconds. `train(i)` is a training batch; each proposal is tuned for `steps`
    of them by SGD, always the same ones; `valid` judges accuracy by running statistics, ties
    going to the lower loss. One compiled program tunes all widths. `told` hears of each step that
    is kept. Raises ValueError as `adapt`, for no steps, for a tuning that diverges, and for a
    network that computes something else without channels that are zero.
    """
    if steps < 1 or not learning_rate > 0:
        raise ValueError(
            f"A short tuning has steps >= 1 at a rate above 0, not {steps} at {learning_rate}."
        )
    net, known = subject.net, subject.parts
    tx = optax.sgd(learning_rate, momentum=0.9)

    def loss(weights, stats, batch: Batch, key):
        (logits, _), stats = net.apply(weights, stats, batch.inputs, key, None)
        return _entropy(logits, batch), stats

    @jax.jit
    def learn(weights, stats, opt, left, batch: Batch, key):
        slope, stats = jax.grad(loss, has_aux=True)(weights, stats, batch, key)
        updates, opt = tx.update(jax.tree.map(jnp.multiply, slope, left), opt, weights)
        return optax.apply_updates(weights, updates), stats, opt

    @jax.jit
    def judge(weights, stats, batch: Batch):
        logits = net.infer(weights, stats, batch.inputs)
        right = jnp.mean(jnp.argmax(logits, -1) == batch.labels)
        return right, _entropy(logits, batch)

    def zeroed(state: Narrow) -> tuple[Narrow, Weights]:
        left = channel_groups.weight_masks(known, state.kept, state.weights)
        return state._replace(weights=jax.tree.map(jnp.multiply, state.weights, left)), left

    def narrowed(state: Narrow, part: str, width: int) -> Narrow | None:
        kept = channel_groups.largest_filters(known[part], state.kept[part], state.weights, width)
        if kept is None:
            return None
        other = state._replace(kept={**state.kept, part: kept})
        return None if subject.left(other.kept) is None else other

    def tuned(state: Narrow) -> Narrow:
        (kept, weights, stats), left = zeroed(state)
        opt, key = tx.init(weights), jax.random.key(0)
        for i in range(steps):
            weights, stats, opt = learn(
                weights, stats, opt, left, train(i), jax.random.fold_in(key, i)
            )
        return Narrow(kept, weights, stats)

    def score(state: Narrow) -> tuple[float, float]:
        right, entropy = map(float, judge(state.weights, state.stats, valid))
        # What diverged comes last.
        sound = math.isfinite(entropy) and _finite(state.weights)
        return (right, -entropy) if sound else (-1.0, -math.inf)

    how = Narrowing(
        widths=lambda state: {name: int(kept.sum()) for name, kept in state.kept.items()},
        narrowed=narrowed,
        cost=lambda state: float(cost(subject.left(state.kept))),
        tuned=tuned,
        score=score,
    )
    start = Narrow(channel_groups.all_channels(known), weights, stats)
    # Before hours are spent on it: with two channels less wherever that can be.
    tried = start
    for name, part in known.items():
        less = narrowed(tried, name, part.width - 2) if part.width >= 4 else None
        tried = less or tried
    _cut(subject, zeroed(tried)[0], valid)
    accuracy = lambda step: step._replace(score=step.score[0])
    state, taken = adapt(
        start,
        how,
        budget,
        first=first,
        decay=decay,
        multiple=multiple,
        told=lambda step: told(accuracy(step)),
    )
    slim = _cut(subject, state, valid)
    return Fitted(subject.left(state.kept), *slim, list(map(accuracy, taken)))


def _cut(subject: PrunableNetwork, state: Narrow, valid: Batch) -> tuple[Weights, Stats]:
    """The weights and statistics of what is left. Raises ValueError where it is another network."""
    slim = channel_groups.cut(subject.parts, state.kept, state.weights, state.stats)
    less = subject.network(subject.left(state.kept))
    pairs = ((subject.net, state[1:]), (less, slim))
    # Both are to be the same up to rounding, which accelerators do coarsely unless told.
    with jax.default_matmul_precision("highest"):
        whole, cut = (np.asarray(jax.jit(net.infer)(*at, valid.inputs)) for net, at in pairs)
    # XLA's minimum and maximum may pass by what is no number: look at the weights, too.
    if not (_finite(state.weights) and np.isfinite(whole).all()):
        raise ValueError(
            "The short tuning diverged, so that nothing is left to judge: make its learning rate "
            "smaller (--short-rate)."
        )
    if not np.allclose(whole, cut, rtol=1e-2, atol=1e-2 * float(np.abs(whole).max())):
        raise ValueError(
            "Without channels that are zero this network computes something else: an operation of "
            "it mixes channels in a way that is not known here, so it is not narrowed."
        )
    return slim


def _finite(weights: Weights) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights))


def _entropy(logits: jax.Array, batch: Batch) -> Scalar:
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels))
