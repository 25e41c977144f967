"""Constraints as terms: the expected cost of gates is kept at or below a limit.

The weight of a term is a multiplier: it grows while the expected cost is above the limit and falls
while it is below (dual ascent), so that no weight must be tuned for a device or a unit.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core.objectives import cost_terms, terms
from jaxnas.core.types import (
    Arch,
    Constraint,
    Constraints,
    Forward,
    Relaxation,
    Scalar,
    Term,
    Weights,
)

# Published forms by name, for constraints whose weight is fixed.
ADDED = {
    "add-linear": cost_terms.add_linear,
    "one-sided": cost_terms.one_sided,
    "absolute": cost_terms.absolute,
}
MULTIPLIED = ("mul-log", "fbnet")
# For methods that learn from rewards. The weight is the first one's exponent, minus the others'.
REWARDED = {
    "proxyless": cost_terms.proxyless_reward,
    "mnasnet": lambda model, limit, weight: cost_terms.mnasnet_reward(model, limit, -weight),
    "tunas": lambda model, limit, weight: cost_terms.tunas_reward(model, limit, -weight),
}
# Our own choices; docs/target.md.
WIDTH, RATE, START = 0.05, 0.05, 1.0
RANGE = 1e-3, 1e3  # of the weight


class Multiplier(NamedTuple):
    """The memory of `lagrangian`."""

    weight: Scalar  # f32[]
    arch: Arch  # at the last step


def lagrangian(
    constraint: Constraint,
    relaxation: Relaxation,
    *,
    width: float = WIDTH,
    rate: float = RATE,
    start: float = START,
) -> Term:
    """`weight * width * softplus(log(E / aim) / width)`: 0 well below, a line in log E above.

    E is the cost of the relaxation's expected gates, `aim` that of the constraint. After each step
    that updated the architecture, `weight *= exp(rate * log(E / aim))`, with the logarithm clipped
    to one and the weight to 1e-3 and 1e3; without an update of the architecture the weight is
    constant. Ours, after the one-sided scale-free form in docs/target.md; because of the factor
    `width` the slope above the aim is the weight.

    Raises ValueError unless limit, width, rate and start are positive.
    """
    aim, of_gates = constraint.aim, constraint.cost.of_gates
    for name, number in {
        f"The target {constraint.cost.quantity}": aim, "width": width, "rate": rate, "start": start,
    }.items():  # fmt: skip
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"{name} is {number}: give a number above 0.")

    def excess(arch: Arch, weights: Weights, step) -> Scalar:
        """log(E / aim)"""
        return jnp.log(of_gates(relaxation.expected(arch, weights, step=step)) / aim)

    def init(arch: Arch, weights: Weights) -> Multiplier:
        return Multiplier(jnp.float32(start), arch)

    def value(memory: Multiplier, forward: Forward) -> Scalar:
        above = width * jax.nn.softplus(excess(forward.arch, forward.weights, forward.step) / width)
        return jax.lax.stop_gradient(memory.weight) * above

    def update(memory: Multiplier, arch: Arch, weights: Weights, step) -> Multiplier:
        pairs = zip(jax.tree.leaves(memory.arch), jax.tree.leaves(arch), strict=True)
        has_moved = jnp.any(jnp.stack([jnp.any(old != new) for old, new in pairs]))
        grown = memory.weight * jnp.exp(rate * jnp.clip(excess(arch, weights, step), -1, 1))
        weight = jnp.where(has_moved, jnp.clip(grown, *RANGE), memory.weight)
        return Multiplier(weight, arch)

    return Term(init, value, update)


def constrained(
    objective: Term,
    constraints: Constraints,
    relaxation: Relaxation,
    *,
    start: float = START,
) -> Term:
    """`objective` with the constraints: forms of a fixed weight, and a `lagrangian` for the others.

    Each `lagrangian` has a separate weight, initially `start`. Without constraints this is the
    objective. Raises ValueError for an unknown form and invalid limits or weights.
    """
    for constraint in constraints:
        if constraint.form is not None:
            objective = _with_fixed_weight(objective, constraint, relaxation)
    adaptive = {
        constraint.cost.quantity: lagrangian(constraint, relaxation, start=start)
        for constraint in constraints
        if constraint.form is None
    }
    if not adaptive:
        return objective
    return terms.total(loss=objective, target=terms.total(**adaptive))


def reward(constraints: Constraints) -> cost_terms.Reward | None:
    """The reward of methods that sample networks; None if no constraint has such a form.

    Raises ValueError if there are other constraints, too.
    """
    forms = [constraint.form.form for constraint in constraints if constraint.form]
    rewarded = [form for form in forms if form in REWARDED]
    if rewarded and len(constraints) > 1:
        raise ValueError(f"The reward {rewarded[0]!r} stands alone: leave out other targets.")
    if not rewarded:
        return None
    (constraint,) = constraints
    form, weight = constraint.form  # pyright: ignore[reportGeneralTypeIssues]
    return REWARDED[form](constraint.cost.of_gates, constraint.aim, weight)


def _with_fixed_weight(objective: Term, constraint: Constraint, relaxation: Relaxation) -> Term:
    """The form of `cost_terms` with the aim as reference; in products the weight is an exponent."""
    assert constraint.form is not None
    (form, weight), aim = constraint.form, constraint.aim
    of_gates = constraint.cost.of_gates
    if form in ADDED:
        term = ADDED[form](of_gates, aim, weight, relaxation=relaxation)
        return terms.total(loss=objective, latency=term)
    if form not in MULTIPLIED:
        forms = ", ".join((*ADDED, *MULTIPLIED))
        raise ValueError(f"No latency enters the loss as {form!r}; there are {forms}.")
    if form == "mul-log":
        return cost_terms.mul_log(of_gates, aim, b=weight, loss=objective, relaxation=relaxation)
    if not aim > 1:
        raise ValueError(
            f"FBNet's form takes the logarithm of milliseconds, which is below 0 at {aim:.4g} ms: "
            "give a target above 1 ms, or use add-linear."
        )
    return cost_terms.fbnet(of_gates, b=weight, loss=objective, relaxation=relaxation)
