"""NetAdapt: a trained network loses channels, step by step, until it fits a budget.

Yang et al. 2018, https://arxiv.org/abs/1804.03230, algorithm 1. At every step each part of the
network is narrowed until the step's share of the cost is saved, tuned for a short time, and the
narrowed network that scores best is kept. Thoroughly tuning the last one is the caller's.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core import metrics
from jaxnas.core.types import Batch, Stats, Weights
from jaxnas.nets import channel_groups
from jaxnas.nets.channel_groups import ChannelMasks, PrunableNetwork

# Below this share of the first cost a step is no step.
MIN_SHARE = 1e-4


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
    on_step: Callable[[Step], None] = lambda step: None,
) -> tuple[Any, list[Step]]:
    """(the network within `budget`, the steps to it), every step strictly cheaper than the last.

    `on_step` is called with each step that is kept; widths are tried in multiples of `multiple`.

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
        limit = max(now - saving, budget)
        proposals = _proposals(net, how, limit, multiple)
        if not proposals:
            saving = min(saving, now - budget) / 2
            if saving < MIN_SHARE * start:
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
        on_step(steps[-1])
        now, saving = cost, saving * decay
    return net, steps


def _proposals(net: Any, how: Narrowing, limit: float, multiple: int) -> list[tuple[str, int, Any]]:
    """Every part by itself as wide as the limit allows, where it allows any width."""
    found = []
    for part, width in how.widths(net).items():
        low, high, best = 1, (width - 1) // multiple, None
        while low <= high:
            middle = (low + high + 1) // 2
            other = how.narrowed(net, part, middle * multiple)
            if other is None:  # a single width that cannot be: look on below
                other = how.narrowed(net, part, (middle - 1) * multiple) if middle > low else None
                middle -= 1
            if other is not None and how.cost(other) <= limit:
                best, low = (part, middle * multiple, other), middle + 1
            else:
                high = middle - 1
        if best is not None:
            found.append(best)
    return found


class Pretrained(NamedTuple):
    """A network that can be narrowed, with trained weights."""

    prunable: PrunableNetwork
    weights: Weights
    stats: Stats


class Schedule(NamedTuple):
    """How proposals are tuned, and how much each step saves: see `adapt`."""

    steps: int = 20  # of SGD, for each proposal
    learning_rate: float = 0.01
    first: float = 0.03
    decay: float = 0.96
    multiple: int = 1


class Fitted(NamedTuple):
    """What remains, as `PrunableNetwork.remaining` names it, with the weights of its network."""

    remaining: Any
    weights: Weights
    stats: Stats
    steps: list[Step]


class Masked(NamedTuple):
    """A network on the way: zeros stand where channels went."""

    masks: ChannelMasks
    weights: Weights
    stats: Stats


def network(
    pretrained: Pretrained,
    *,
    cost: Callable[[Any], float],
    budget: float,
    train: Callable[[int], Batch],
    valid: Batch,
    schedule: Schedule = Schedule(),  # noqa: B008, a tuple of numbers
    on_step: Callable[[Step], None] = lambda step: None,
) -> Fitted:
    """A trained network narrowed into a budget.

    `cost(remaining)` is in the units of the budget: multiply-accumulates, or a prediction or
    measurement in milliseconds. `train(i)` is a training batch; each proposal is tuned for
    `schedule.steps` of them by SGD, always the same ones; `valid` decides by accuracy with running
    statistics, ties going to the lower loss. One compiled program tunes all widths. `on_step` is
    called with each step that is kept. Raises ValueError as `adapt`, for no steps, for a tuning
    that diverges, and for a network that computes something else without channels that are zero.
    """
    if schedule.steps < 1 or not schedule.learning_rate > 0:
        raise ValueError(
            f"A short tuning has steps >= 1 at a rate above 0, not {schedule.steps} at "
            f"{schedule.learning_rate}."
        )
    prunable, weights, stats = pretrained
    start = Masked(channel_groups.all_channels(prunable.groups), weights, stats)
    # Before hours are spent on it: with two channels less wherever that can be.
    narrower = start
    for name, part in prunable.groups.items():
        less = _narrowed(prunable, narrower, name, part.width - 2) if part.width >= 4 else None
        narrower = less or narrower
    _cut(prunable, _zeroed(prunable, narrower)[0], valid)
    how = Narrowing(
        widths=lambda state: {name: int(mask.sum()) for name, mask in state.masks.items()},
        narrowed=lambda state, part, width: _narrowed(prunable, state, part, width),
        cost=lambda state: float(cost(prunable.remaining(state.masks))),
        tuned=_tuning(prunable, train, schedule),
        score=_scoring(prunable, valid),
    )
    accuracy = lambda step: step._replace(score=step.score[0])
    state, steps = adapt(
        start,
        how,
        budget,
        first=schedule.first,
        decay=schedule.decay,
        multiple=schedule.multiple,
        on_step=lambda step: on_step(accuracy(step)),
    )
    weights, stats = _cut(prunable, state, valid)
    return Fitted(prunable.remaining(state.masks), weights, stats, list(map(accuracy, steps)))


def _zeroed(prunable: PrunableNetwork, state: Masked) -> tuple[Masked, Weights]:
    """(the network with zeros where channels went, 1 where weights remain)."""
    remaining = channel_groups.weight_masks(prunable.groups, state.masks, state.weights)
    return state._replace(weights=jax.tree.map(jnp.multiply, state.weights, remaining)), remaining


def _narrowed(prunable: PrunableNetwork, state: Masked, part: str, width: int) -> Masked | None:
    mask = channel_groups.largest_filters(
        prunable.groups[part], state.masks[part], state.weights, width
    )
    if mask is None:
        return None
    masks = {**state.masks, part: mask}
    return None if prunable.remaining(masks) is None else state._replace(masks=masks)


def _tuning(
    prunable: PrunableNetwork, train: Callable[[int], Batch], schedule: Schedule
) -> Callable[[Masked], Masked]:
    net, tx = prunable.net, optax.sgd(schedule.learning_rate, momentum=0.9)

    def loss(weights, stats, batch: Batch, key):
        (logits, _), stats = net.apply(weights, stats, batch.inputs, key, None)
        return metrics.cross_entropy(logits, batch.labels), stats

    @jax.jit
    def step(weights, stats, opt, remaining, batch: Batch, key):
        grads, stats = jax.grad(loss, has_aux=True)(weights, stats, batch, key)
        updates, opt = tx.update(jax.tree.map(jnp.multiply, grads, remaining), opt, weights)
        return optax.apply_updates(weights, updates), stats, opt

    def tuned(state: Masked) -> Masked:
        (masks, weights, stats), remaining = _zeroed(prunable, state)
        opt, key = tx.init(weights), jax.random.key(0)
        for i in range(schedule.steps):
            weights, stats, opt = step(
                weights, stats, opt, remaining, train(i), jax.random.fold_in(key, i)
            )
        return Masked(masks, weights, stats)

    return tuned


def _scoring(prunable: PrunableNetwork, valid: Batch) -> Callable[[Masked], tuple[float, float]]:
    @jax.jit
    def evaluate(weights, stats, batch: Batch):
        logits = prunable.net.infer(weights, stats, batch.inputs)
        labels = batch.labels
        return metrics.accuracy(logits, labels), metrics.cross_entropy(logits, labels)

    def score(state: Masked) -> tuple[float, float]:
        right, entropy = map(float, evaluate(state.weights, state.stats, valid))
        # What diverged comes last.
        is_finite = math.isfinite(entropy) and _finite(state.weights)
        return (right, -entropy) if is_finite else (-1.0, -math.inf)

    return score


def _cut(prunable: PrunableNetwork, state: Masked, valid: Batch) -> tuple[Weights, Stats]:
    """The weights and statistics of what remains. Raises ValueError for another network."""
    slim = channel_groups.cut(prunable.groups, state.masks, state.weights, state.stats)
    narrower = prunable.network(prunable.remaining(state.masks))
    pairs = ((prunable.net, state[1:]), (narrower, slim))
    # Both are to be the same up to rounding, which accelerators do coarsely unless told.
    with jax.default_matmul_precision("highest"):
        whole, cut = (np.asarray(jax.jit(net.infer)(*trees, valid.inputs)) for net, trees in pairs)
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
