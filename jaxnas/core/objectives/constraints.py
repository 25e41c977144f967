"""A target as a term: what gates are expected to cost stays at or below it.

The weight of the term adapts: it grows while the expectation is above the target and falls while
it is below (dual ascent), so that no weight has to be found for a device or a unit.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core.objectives import cost_terms, terms
from jaxnas.core.types import Arch, Forward, Gates, Relaxation, Scalar, Term, Weights

# (loss, the relaxation whose gates are judged, start=) -> what is minimised in the place of the
# loss; `start` is what weights that adapt begin with
Penalty = Callable[..., Term]
ADDED = {
    "add-linear": cost_terms.add_linear,
    "one-sided": cost_terms.one_sided,
    "absolute": cost_terms.absolute,
}
MULTIPLIED = ("mul-log", "fbnet")
# For methods that learn from rewards. The weight is the first one's exponent, minus the others'.
REWARDED = {
    "proxyless": cost_terms.proxyless_reward,
    "mnasnet": lambda model, most, weight: cost_terms.mnasnet_reward(model, most, -weight),
    "tunas": lambda model, most, weight: cost_terms.tunas_reward(model, most, -weight),
}
# Our own choices; docs/target.md.
WIDTH, RATE, START = 0.05, 0.05, 1.0
RANGE = 1e-3, 1e3  # of the weight


class FixedWeight(NamedTuple):
    """A published form of a term, and its weight, which stays what it is."""

    form: str  # of ADDED, MULTIPLIED or REWARDED
    weight: float


def normalised(gates: Gates) -> Gates:
    """Gates whose every edge sums to one (those of PC-DARTS sum to the edge's own share)."""
    return {name: gate / gate.sum(-1, keepdims=True) for name, gate in gates.items()}


class Limit(NamedTuple):
    """What networks drawn from gates may cost on average."""

    name: str  # with its unit: "ms", "macs", "parameters"
    most: float
    expected: Callable[[Gates], Scalar]  # above 0; gates are probabilities
    fixed: FixedWeight | None = None  # None: held by a weight that adapts
    shares: Callable[[Gates], Gates] = normalised  # gates as the probabilities that it expects


class Multiplier(NamedTuple):
    """The memory of `lagrangian`."""

    weight: Scalar  # f32[]
    arch: Arch  # at the last step


def lagrangian(
    limit: Limit,
    relaxation: Relaxation,
    *,
    width: float = WIDTH,
    rate: float = RATE,
    start: float = START,
) -> Term:
    """`weight * width * softplus(log(E / most) / width)`: 0 well below, a line in log E above.

    E is expected of the relaxation's expected gates, an edge's shares of its sum. After each step
    that moved the architecture, `weight *= exp(rate * log(E / most))`, the logarithm held within
    one and the weight within 1e-3 and 1e3; while the architecture rests, the weight does too. Ours,
    after the one-sided scale-free form in docs/target.md; the factor `width` makes the slope above
    the target the weight itself.

    Raises ValueError unless limit, width, rate and start are positive.
    """
    for name, value in {
        f"The target {limit.name}": limit.most, "width": width, "rate": rate, "start": start,
    }.items():  # fmt: skip
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}: give a number above 0.")

    def excess(arch: Arch, weights: Weights, step) -> Scalar:
        """log(E / most)"""
        gates = limit.shares(relaxation.expected(arch, weights, step=step))
        return jnp.log(limit.expected(gates) / limit.most)

    def init(arch: Arch, weights: Weights) -> Multiplier:
        return Multiplier(jnp.float32(start), arch)

    def value(memory: Multiplier, forward: Forward) -> Scalar:
        above = width * jax.nn.softplus(excess(forward.arch, forward.weights, forward.step) / width)
        return jax.lax.stop_gradient(memory.weight) * above

    def update(memory: Multiplier, arch: Arch, weights: Weights, step) -> Multiplier:
        pairs = zip(jax.tree.leaves(memory.arch), jax.tree.leaves(arch), strict=True)
        moved = jnp.any(jnp.stack([jnp.any(old != new) for old, new in pairs]))
        grown = memory.weight * jnp.exp(rate * jnp.clip(excess(arch, weights, step), -1, 1))
        return Multiplier(jnp.where(moved, jnp.clip(grown, *RANGE), memory.weight), arch)

    return Term(init, value, update)


def penalty(limits: Sequence[Limit]) -> Penalty:
    """The loss in the fixed forms, then the sum of `lagrangian` terms, a weight each.

    Raises ValueError without limits.
    """
    if not limits:
        raise ValueError("Without a target there is no penalty: give one.")

    def objective(loss: Term, relaxation: Relaxation, *, start: float = START) -> Term:
        for limit in (limit for limit in limits if limit.fixed):
            loss = _fixed(limit, loss, relaxation)
        held = {
            each.name: lagrangian(each, relaxation, start=start)
            for each in limits
            if not each.fixed
        }
        return terms.total(loss=loss, target=terms.total(**held)) if held else loss

    return objective


def reward(limits: Sequence[Limit]) -> cost_terms.Reward | None:
    """What a method that draws networks is rewarded by; None where no limit has such a form.

    Raises ValueError where there are other limits beside it.
    """
    forms = [limit.fixed.form for limit in limits if limit.fixed]
    rewarded = [form for form in forms if form in REWARDED]
    if rewarded and len(limits) > 1:
        raise ValueError(f"The reward {rewarded[0]!r} stands alone: leave out other targets.")
    if not rewarded:
        return None
    (limit,) = limits
    return REWARDED[limit.fixed.form](limit.expected, limit.most, limit.fixed.weight)


def _fixed(limit: Limit, loss: Term, relaxation: Relaxation) -> Term:
    """`latency_terms`, the limit as reference; a weight is the exponent of what multiplies."""
    (form, weight), most = limit.fixed, limit.most
    model = lambda gates: limit.expected(limit.shares(gates))
    if form in ADDED:
        term = ADDED[form](model, most, weight, relaxation=relaxation)
        return terms.total(loss=loss, latency=term)
    if form not in MULTIPLIED:
        known = ", ".join((*ADDED, *MULTIPLIED))
        raise ValueError(f"No latency enters the loss as {form!r}; there are {known}.")
    if form == "mul-log":
        return cost_terms.mul_log(model, most, b=weight, loss=loss, relaxation=relaxation)
    if not most > 1:
        raise ValueError(
            f"FBNet's form takes the logarithm of milliseconds, which is below 0 at {most:.4g} ms: "
            "give a target above 1 ms, or use add-linear."
        )
    return cost_terms.fbnet(model, b=weight, loss=loss, relaxation=relaxation)


def outer(loss: Term, penalty: Penalty | None, relaxation: Relaxation) -> Term | None:
    """What judges validation batches: what the penalty makes of `loss`; None without one."""
    return None if penalty is None else penalty(loss, relaxation)
