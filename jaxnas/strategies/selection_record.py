"""A selection under constraints: its problem, its state, and its record."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Constraint, Constraints
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.hardware.measure.recheck import RecheckedTimes
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.sampling import CandidatePool
from jaxnas.spaces.search_space import SearchSpace

MS = "ms"  # the quantity that can be measured
TOLERANCE = 0.05  # relative, of a limit in milliseconds

Measure = Callable[[Sequence[Genotype], int], RecheckedTimes]  # (networks, number of the round)


class SelectionProblem(NamedTuple):
    """The candidates of a selection and its constraints."""

    space: SearchSpace
    constraints: Constraints
    pool: CandidatePool
    predictor: Predictor | None = None  # of milliseconds
    campaign: CampaignDataset | None = None  # the predictor's data

    @property
    def latency(self) -> Constraint | None:
        """The constraint in milliseconds, if there is one."""
        return next((c for c in self.constraints if c.cost.quantity == MS), None)


class SelectionState(NamedTuple):
    """Costs and measurements of the pool's networks, by row of the pool."""

    costs: Mapping[str, np.ndarray]  # f64[N] by quantity: counted, predicted or timed
    measured: Mapping[int, float]  # ms on the campaign's scale
    clock: Mapping[int, float]  # ms of this device's clock
    predictor: Predictor | None  # fitted to all measurements
    rounds: tuple[Mapping[str, Any], ...] = ()  # JSON
    refits: int = 0


def is_satisfied(problem: SelectionProblem, state: SelectionState, row: int) -> bool:
    """Whether measured milliseconds are within 5 % of the limit.

    Below it, they may be as far as the margin of a risk, or farther if another constraint binds.
    """
    ms, latency = state.measured[row], problem.latency
    binds = any(
        state.costs[c.cost.quantity][row] >= (1 - TOLERANCE) * c.aim
        for c in problem.constraints
        if c.cost.quantity != MS
    )
    near = binds or ms >= (1 - TOLERANCE) * latency.aim
    return ms <= (1 + TOLERANCE) * latency.limit and near


def of(
    problem: SelectionProblem,
    state: SelectionState,
    order: Sequence[int],
    accuracy: Callable[[int], float],
    scored: int,
) -> dict[str, Any]:
    """The record, JSON values, of a selection of the first network in `order`.

    `scored`: the number of networks evaluated on shared weights.
    """
    pool, costs = problem.pool, state.costs
    ranking = [
        {
            "network": pool.genomes[i].tolist(),
            "accuracy": accuracy(i),
            "costs": {quantity: float(cost[i]) for quantity, cost in costs.items()},
            "measured_ms": state.measured.get(i),
        }
        for i in order
    ]
    return {
        "targets": {
            c.cost.quantity: _target(problem, state, c, order[0]) for c in problem.constraints
        },
        "accuracy": accuracy(order[0]),
        "networks": len(pool.genomes),
        "judged": scored,
        "measured": ranking,
        "rounds": list(state.rounds),
        "refits": state.refits,
    }


def _target(
    problem: SelectionProblem, state: SelectionState, constraint: Constraint, row: int
) -> dict[str, Any]:
    """The record of a constraint: limit, prediction, interval, measurement, verdict."""
    cost, genome = constraint.cost, problem.pool.genomes[[row]]
    target = {
        "target": constraint.limit, "aim": constraint.aim,
        "predicted": float(state.costs[cost.quantity][row]),
    }  # fmt: skip
    if cost.quantity != MS:
        target["holds"] = target["predicted"] <= constraint.limit  # counted, or as predicted
        if cost.interval is not None:
            low, high = (float(value[0]) for value in cost.interval(genome))
            target |= {"interval": [low, high], "unit": cost.unit}
        return target
    # Predicted before any candidate was measured: later predictors are fitted to them.
    ms, low, high = (float(value[0]) for value in problem.predictor.predict(genome))
    measured = state.measured.get(row)
    fitted = float(state.predictor.predict(genome)[0][0])
    return target | {
        "predicted": ms, "fitted": fitted, "interval": [low, high], "measured": measured,
        "clock_ms": state.clock.get(row),
        "holds": None if measured is None else is_satisfied(problem, state, row),
    }  # fmt: skip


def unconstrained(
    space: SearchSpace, genotype: Genotype, predictor: Predictor, measure: Measure | None = None
) -> dict[str, Any]:
    """The record of a network selected without constraints: predicted, and measured if possible."""
    ms, low, high = (float(v[0]) for v in predictor.predict(space.genome.encode(genotype)[None]))
    times = measure([genotype], 0) if measure else None
    target = {
        "target": None, "predicted": ms, "interval": [low, high], "holds": None,
        "measured": None if times is None else float(times.latency_ms[0]),
        "clock_ms": None if times is None else float(times.slowdown * times.latency_ms[0]),
    }  # fmt: skip
    rounds = [] if times is None else [{"slower": times.slowdown, "noisy": list(times.noisy)}]
    return {"targets": {MS: target}, "rounds": rounds}
