"""NetAdapt: iterative channel pruning of a trained network to a budget.

Yang et al. 2018, https://arxiv.org/abs/1804.03230, algorithm 1. In every step each part of the
network is narrowed until the step's share of the cost is saved, and tuned for a short time; the
proposal with the best score becomes the next network. The long tuning of the last one is left to
the caller.
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

# Of the initial cost: the minimum that a step saves.
MIN_SHARE = 1e-4


class BudgetError(ValueError):
    """No part can be narrowed further, and the budget is not met."""


class Step(NamedTuple):
    """One accepted narrowing."""

    part: str
    width: int  # remaining channels of the part
    cost: float
    score: float  # after the short tuning


class Narrowing(NamedTuple):
    """The functions of a problem. A network is any value that they accept.

    `widths(net)`: channels of each part; `narrowed(net, part, width)`: None if impossible;
    `cost(net)`, for example in milliseconds; `tuned(net)`: after a short training; `score(net)`:
    higher is better.
    """

    widths: Callable[[Any], Mapping[str, int]]
    narrowed: Callable[[Any, str, int], Any | None]
    cost: Callable[[Any], float]
    tuned: Callable[[Any], Any]
    score: Callable[[Any], float]


def adapt(
    net: Any,
    narrowing: Narrowing,
    budget: float,
    *,
    first: float = 0.03,
    decay: float = 0.96,
    multiple: int = 1,
    on_step: Callable[[Step], None] = lambda step: None,
) -> tuple[Any, list[Step]]:
    """(the network within `budget`, the steps to it), every step strictly cheaper than the last.

    `on_step` is called with each accepted step; widths are tried in multiples of `multiple`.

    The first step saves the share `first` of the cost, each later one `decay` times as much, the
    last one no more than the budget needs; if no part can save it alone, half of it is tried
    (ours). Both defaults are from memory of the paper. A part's width is found by bisection, which
    assumes that cost falls with width; a proposal above the step's limit is discarded. Raises
    BudgetError for a budget that cannot be met, ValueError for one that is met already and unless
    0 < first < 1, 0 < decay <= 1 and multiple >= 1.
    """
    if not (0 < first < 1 and 0 < decay <= 1 and multiple >= 1):
        raise ValueError(
            f"Need 0 < first < 1, 0 < decay <= 1 and multiple >= 1, not {first}, {decay} and "
            f"{multiple}."
        )
    initial_cost = current_cost = narrowing.cost(net)
    if not (math.isfinite(budget) and 0 < budget < initial_cost):
        raise ValueError(
            f"The network costs {initial_cost:g}: give a budget between 0 and that, not {budget:g}."
        )
    saving, steps = first * initial_cost, []
    while current_cost > budget:
        limit = max(current_cost - saving, budget)
        proposals = _proposals(net, narrowing, limit, multiple)
        if not proposals:
            saving = min(saving, current_cost - budget) / 2
            if saving < MIN_SHARE * initial_cost:
                raise BudgetError(
                    f"No part can lose more channels at a cost of {current_cost:g}: a budget of "
                    f"{budget:g} cannot be met."
                )
            continue
        tuned = [(part, width, narrowing.tuned(narrowed)) for part, width, narrowed in proposals]
        part, width, net = max(tuned, key=lambda proposal: narrowing.score(proposal[2]))
        cost = narrowing.cost(net)
        assert cost < current_cost
        steps.append(Step(part, width, cost, narrowing.score(net)))
        on_step(steps[-1])
        current_cost, saving = cost, saving * decay
    return net, steps


def _proposals(
    net: Any, narrowing: Narrowing, limit: float, multiple: int
) -> list[tuple[str, int, Any]]:
    """(part, width, network) of every part narrowed alone, as wide as the limit allows."""
    proposals = []
    for part, width in narrowing.widths(net).items():
        low, high, best = 1, (width - 1) // multiple, None
        while low <= high:
            middle = (low + high + 1) // 2
            candidate = narrowing.narrowed(net, part, middle * multiple)
            if candidate is None:  # this width is impossible: try the next smaller one
                candidate = (
                    narrowing.narrowed(net, part, (middle - 1) * multiple) if middle > low else None
                )
                middle -= 1
            if candidate is not None and narrowing.cost(candidate) <= limit:
                best, low = (part, middle * multiple, candidate), middle + 1
            else:
                high = middle - 1
        if best is not None:
            proposals.append(best)
    return proposals


class Pretrained(NamedTuple):
    """A prunable network with trained weights."""

    prunable: PrunableNetwork
    weights: Weights
    stats: Stats


class Schedule(NamedTuple):
    """The tuning of proposals, and the savings of the steps: see `adapt`."""

    steps: int = 20  # of SGD, for each proposal
    learning_rate: float = 0.01
    first: float = 0.03
    decay: float = 0.96
    multiple: int = 1


class Narrowed(NamedTuple):
    """`PrunableNetwork.remaining` of the pruned network, with its weights."""

    remaining: Any
    weights: Weights
    stats: Stats
    steps: list[Step]


class Masked(NamedTuple):
    """A partly narrowed network: pruned channels are masked by zeros."""

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
) -> Narrowed:
    """A trained network narrowed to a budget.

    `cost(remaining)` is in the units of the budget: multiply-accumulates, or a prediction or
    measurement in milliseconds. `train(i)` is a training batch; each proposal is tuned for
    `schedule.steps` of them by SGD, always the same ones; scores are accuracies on `valid` with
    running statistics, ties going to the lower loss. One compiled program tunes all widths.
    `on_step` is called with each accepted step. Raises ValueError as `adapt`, for no steps, for a
    tuning that diverges, and for a network whose output changes when zero channels are removed.
    """
    if schedule.steps < 1 or not schedule.learning_rate > 0:
        raise ValueError(
            f"A short tuning has steps >= 1 at a rate above 0, not {schedule.steps} at "
            f"{schedule.learning_rate}."
        )
    prunable, weights, stats = pretrained
    start = Masked(channel_groups.all_channels(prunable.groups), weights, stats)
    # Checks early that channels can be removed, with two channels less in every possible group.
    narrower = start
    for name, group in prunable.groups.items():
        candidate = (
            _narrowed(prunable, narrower, name, group.width - 2) if group.width >= 4 else None
        )
        narrower = candidate or narrower
    _cut(prunable, _zeroed(prunable, narrower)[0], valid)
    narrowing = Narrowing(
        widths=lambda state: {name: int(mask.sum()) for name, mask in state.masks.items()},
        narrowed=lambda state, group, width: _narrowed(prunable, state, group, width),
        cost=lambda state: float(cost(prunable.remaining(state.masks))),
        tuned=_tuning(prunable, train, schedule),
        score=_scoring(prunable, valid),
    )
    accuracy = lambda step: step._replace(score=step.score[0])
    state, steps = adapt(
        start,
        narrowing,
        budget,
        first=schedule.first,
        decay=schedule.decay,
        multiple=schedule.multiple,
        on_step=lambda step: on_step(accuracy(step)),
    )
    weights, stats = _cut(prunable, state, valid)
    return Narrowed(prunable.remaining(state.masks), weights, stats, list(map(accuracy, steps)))


def _zeroed(prunable: PrunableNetwork, state: Masked) -> tuple[Masked, Weights]:
    """(the network with pruned channels set to zero, masks that are 1 at remaining weights)."""
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
        accuracy, entropy = map(float, evaluate(state.weights, state.stats, valid))
        # Diverged networks rank last.
        is_finite = math.isfinite(entropy) and _finite(state.weights)
        return (accuracy, -entropy) if is_finite else (-1.0, -math.inf)

    return score


def _cut(prunable: PrunableNetwork, state: Masked, valid: Batch) -> tuple[Weights, Stats]:
    """The weights and statistics of the remaining channels.

    Raises ValueError if the tuning diverged or the network's output changes.
    """
    cut_trees = channel_groups.cut(prunable.groups, state.masks, state.weights, state.stats)
    cut_network = prunable.network(prunable.remaining(state.masks))
    pairs = ((prunable.net, state[1:]), (cut_network, cut_trees))
    # Both must agree up to rounding, which is coarse on accelerators by default.
    with jax.default_matmul_precision("highest"):
        full_logits, cut_logits = (
            np.asarray(jax.jit(net.infer)(*trees, valid.inputs)) for net, trees in pairs
        )
    # XLA's minimum and maximum may skip NaN: check the weights, too.
    if not (_finite(state.weights) and np.isfinite(full_logits).all()):
        raise ValueError(
            "The short tuning diverged, so that no network can be evaluated: make its learning "
            "rate smaller (--short-rate)."
        )
    if not np.allclose(
        full_logits, cut_logits, rtol=1e-2, atol=1e-2 * float(np.abs(full_logits).max())
    ):
        raise ValueError(
            "Without channels that are zero this network computes something else: an operation of "
            "it mixes channels in a way that is not supported, so it is not narrowed."
        )
    return cut_trees


def _finite(weights: Weights) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights))
