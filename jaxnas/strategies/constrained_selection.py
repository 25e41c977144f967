"""Selects a network under constraints: shortlist by predictor, score by shared weights, confirm by
measuring.

Ours throughout (docs/target.md).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.hardware.cost import ConstraintError
from jaxnas.hardware.measure.recheck import RecheckedTimes
from jaxnas.hardware.predict import fit, validation
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces.genotype import Genotype
from jaxnas.strategies import selection_record
from jaxnas.strategies.selection_record import (
    MS,
    TOLERANCE,
    Measure,
    SelectionProblem,
    SelectionState,
    is_satisfied,
)

# Relative: a predictor with a larger error is fitted again.
REFIT = 0.03
SCORED, TIMED, ROUNDS = 32, 4, 25  # networks scored by shared weights, timed a round; max rounds

Accuracy = Callable[[Sequence[int]], list[float]]  # of rows of the pool, by shared weights


class Selected(NamedTuple):
    """The selected network."""

    genotype: Genotype  # without dead edges
    record: dict[str, Any]  # JSON
    predictor: Predictor | None  # fitted to all measurements


def select(
    problem: SelectionProblem,
    evaluator: Evaluator,
    *,
    measure: Measure | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Selected:
    """The network selected under the constraints, with the record of the selection.

    Of the networks whose costs are all at or below their aims and one within 5 % of it, the 32
    likeliest are scored by `evaluator`, whose figure is `accuracy`; where all of those are
    measured, or there are none, also those up to 5 % above the aim in milliseconds and the nearest
    below. With `measure` the best four are timed; if the error of the prediction is above 3 %, the
    predictor is fitted again with them. Repeated until one is within 5 % of the limit in
    milliseconds (the most accurate of those below it, else above), or all such networks are
    measured, up to 25 times.
    Networks of the campaign have its measurements until they are timed again. Raises
    ConstraintError if no network meets all constraints at once.
    """
    scored: dict[int, float] = {}

    def accuracy(rows: Sequence[int]) -> list[float]:
        if new := [i for i in rows if i not in scored]:
            networks = [problem.space.genome.decode(problem.pool.genomes[i]) for i in new]
            for i, figures in zip(new, evaluator.evaluate(networks, [0] * len(new)), strict=True):
                if isinstance(figures, Exception):
                    raise figures
                scored[i] = figures["accuracy"]
        return [scored[i] for i in rows]

    state = initial(problem, log)
    if measure is None or problem.latency is None:
        order = ranked(problem, state, accuracy)
    else:
        for number in range(ROUNDS):
            rows = next_rows(problem, state, accuracy, log)
            if not rows:
                break
            networks = [problem.space.genome.decode(problem.pool.genomes[i]) for i in rows]
            state = with_measurements(problem, state, rows, measure(networks, number), log)
            if any(is_satisfied(problem, state, i) for i in state.measured):
                break
        order = sorted(state.measured, key=lambda i: _merit(problem, state, i, accuracy([i])[0]))
    record = selection_record.of(
        problem, state, order[: 2 * TIMED], lambda row: accuracy([row])[0], len(scored)
    )
    genotype = problem.space.genome.decode(problem.pool.genomes[order[0]])
    return Selected(genotype, record, state.predictor)


def initial(problem: SelectionProblem, log: Callable[[str], None]) -> SelectionState:
    """The state before any measurement."""
    pool, latency = problem.pool, problem.latency
    costs = {c.cost.quantity: c.cost.of_genomes(pool.genomes) for c in problem.constraints}
    if latency is not None:
        costs[MS] = _as_measured(problem, costs[MS])
        bound = latency.aim
        ratio = costs[MS] / bound
        if not np.any((ratio <= 1) & (ratio >= 1 - TOLERANCE)):
            above = int(np.sum((ratio > 1) & (ratio <= 1 + TOLERANCE)))
            log(
                f"target: no network is known within {TOLERANCE:.0%} below {bound:.4g} ms, "
                f"{above or 'nor'} within {TOLERANCE:.0%} above it"
            )
    return SelectionState(costs, {}, {}, problem.predictor)


def next_rows(
    problem: SelectionProblem,
    state: SelectionState,
    accuracy: Accuracy,
    log: Callable[[str], None],
) -> list[int]:
    """Rows of the pool to be measured next; none: no other network comes near.

    Raises ConstraintError if no network meets all constraints, before any was measured.
    """
    try:
        order = ranked(problem, state, accuracy)
    except ConstraintError:
        if not state.measured:
            raise
        log("target: the model that was fitted again leaves none: what was measured decides")
        return []
    rows = [i for i in order if i not in state.measured][:TIMED]
    if not rows:
        log(
            f"target: {len(state.measured)} networks were measured, and none nearer is known, "
            "below or above"
        )
    return rows


def with_measurements(
    problem: SelectionProblem,
    state: SelectionState,
    rows: Sequence[int],
    times: RecheckedTimes,
    log: Callable[[str], None],
) -> SelectionState:
    """The state with the times of rows of the pool; the predictor fitted again if it is off."""
    pool, slowdown, ms = problem.pool, times.slowdown, times.latency_ms
    measured = {**state.measured, **dict(zip(rows, map(float, ms), strict=True))}
    clock = {**state.clock, **{i: slowdown * measured[i] for i in rows}}
    error = float(np.max(np.abs(ms / state.predictor.predict(pool.genomes[rows])[0] - 1)))
    round_record = {
        "networks": len(rows), "gap": error, "slower": slowdown, "noisy": list(times.noisy)
    }  # fmt: skip
    log(
        f"target: round {len(state.rounds) + 1}: {len(rows)} networks measured, up to "
        f"{error:.1%} from what was predicted; this device is {slowdown - 1:+.1%} against the "
        "campaign"
    )
    state = state._replace(measured=measured, clock=clock, rounds=(*state.rounds, round_record))
    if error <= REFIT:
        return state
    predictor = _refitted(problem, state)
    ms_of_all = _as_measured(problem, predictor.predict(pool.genomes)[0])
    log("target: the model is fitted again with them")
    costs = {**state.costs, MS: ms_of_all}
    return state._replace(costs=costs, predictor=predictor, refits=state.refits + 1)


def ranked(problem: SelectionProblem, state: SelectionState, accuracy: Accuracy) -> list[int]:
    """The shortlist by accuracy on shared weights, best first; ties by probability."""
    rows = shortlist(problem, state)
    score = dict(zip(rows, accuracy(rows), strict=True))
    return sorted(rows, key=lambda i: (-score[i], -problem.pool.log_probability[i]))


def shortlist(problem: SelectionProblem, state: SelectionState) -> list[int]:
    """Rows of the pool: the likeliest within 5 % below their aims, then those on both sides.

    Where networks within 5 % below are all measured, or there are none, the likeliest within 5 %
    above the aim in milliseconds follow, which hold as well, then the nearest below. The distance
    of a network is that of the cost nearest to its aim; measured milliseconds replace predicted
    ones, and need no margin for prediction errors. Raises ConstraintError if no network meets all
    constraints at once.
    """
    latency, pool = problem.latency, problem.pool
    costs, ratios = _ratios(problem, state)
    ratio = np.max(list(ratios.values()), 0)
    likeliest = lambda rows: rows[np.argsort(-pool.log_probability[rows], kind="stable")][:SCORED]
    below = np.flatnonzero(ratio <= 1)
    near = likeliest(below[ratio[below] >= 1 - TOLERANCE])
    above = np.empty(0, int)
    if latency is not None and all(int(i) in state.measured for i in near):
        others = [r for quantity, r in ratios.items() if quantity != MS]
        meets_others = np.max(others, 0) <= 1 if others else np.ones(len(ratio), bool)
        is_above = (ratios[MS] > 1) & (ratios[MS] <= 1 + TOLERANCE)
        above = likeliest(np.flatnonzero(meets_others & is_above))
    if not len(below) and not len(above):
        nearest = int(np.argmin(ratio))
        has = ", ".join(f"{costs[quantity][nearest]:.4g} {quantity}" for quantity in ratios)
        raise ConstraintError(
            f"No network among {len(ratio)} meets all targets at once; the nearest has {has}: "
            "raise one of them."
        )
    near = np.concatenate([near, above])
    # Fills a round if fewer than TIMED are near.
    further = below[ratio[below] < 1 - TOLERANCE]
    further = further[np.argsort(-ratio[further], kind="stable")][: max(TIMED - len(near), 0)]
    return [int(i) for i in (*near, *further)]


def _ratios(
    problem: SelectionProblem, state: SelectionState
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(costs, costs over their aims), f64[N] each by quantity, with measured milliseconds."""
    latency = problem.latency
    costs = {quantity: cost.copy() for quantity, cost in state.costs.items()}
    ratios = {c.cost.quantity: costs[c.cost.quantity] / c.aim for c in problem.constraints}
    for row, ms in state.measured.items():
        costs[MS][row] = ms
        ratios[MS][row] = ms / (latency.limit if ms > latency.aim else latency.aim)
    return costs, ratios


def _as_measured(problem: SelectionProblem, ms: np.ndarray) -> np.ndarray:
    """`ms` of the pool with the campaign's measurements (medians) of the networks that it has."""
    if problem.campaign is None:
        return ms
    row_of = {tuple(genome): i for i, genome in enumerate(problem.pool.genomes)}
    times: dict[int, list[float]] = {}
    canonical = problem.space.genome.canonical(problem.campaign.networks)
    for genome, measured in zip(map(tuple, canonical), problem.campaign.latency_ms, strict=True):
        if genome in row_of:
            times.setdefault(row_of[genome], []).append(measured)
    ms = ms.copy()
    for i, values in times.items():
        ms[i] = np.median(values)
    return ms


def _refitted(problem: SelectionProblem, state: SelectionState) -> Predictor:
    rows, campaign = list(state.measured), problem.campaign
    networks = np.concatenate([campaign.networks, problem.pool.genomes[rows]])
    ms = np.concatenate([campaign.latency_ms, [state.measured[i] for i in rows]])
    return fit.fit(
        campaign.space.genome.space,
        *validation.medians(networks, ms),
        device=campaign.device,
        work=campaign.work,
    )


def _merit(problem: SelectionProblem, state: SelectionState, row: int, accuracy: float) -> tuple:
    """Sort key: satisfied from below, satisfied from above, below, above; then by merit."""
    error = state.measured[row] / problem.latency.limit - 1
    if is_satisfied(problem, state, row):
        return 0, error > 0, -accuracy, 0.0
    return 1, error > 0, abs(error), -accuracy
