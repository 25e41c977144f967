"""Cost models of a search space: latency or another quantity as predicted, MACs and parameters.

A `Constraint` limits one: the search by what gates are expected to cost, the selection by what
networks do.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import AUXILIARY_SKIP, NONE, Constraint, CostModel
from jaxnas.hardware import counts, expectation
from jaxnas.hardware.predict.predictor import Predictor, margin, unit
from jaxnas.spaces import discretise, genome, op_names, sampling
from jaxnas.spaces.search_space import NetworkSize, SearchSpace


class ConstraintError(ValueError):
    """A limit that no network, or every one, meets: the message is one line."""


def predicted(space: SearchSpace, model: Predictor, quantity: str = "ms") -> CostModel:
    """Milliseconds, or another quantity, as a model of the space predicts it.

    Raises ConstraintError for a model of another space.
    """
    if dict(model.space) != dict(space.genome.space):
        raise ConstraintError("The latency model is of another space: measure and fit this one.")
    expected = expectation.expected(model, space.distribution)
    return CostModel(
        quantity,
        lambda rows: model.predict(rows)[0],
        lambda gates: expected(space.distribution.normalise(gates)),
        bounds(space, model),
        margin(model),
        unit(model.quantity),
        lambda rows: model.predict(rows)[1:],
    )


def counted(space: SearchSpace, size: NetworkSize, quantity: str, scale: float) -> CostModel:
    """MACs or parameters of networks without their dead edges, counted exactly.

    Of gates the expectation of a small space is exact. It is computed in float32 in units of
    `scale`, a cost of the size that matters.
    """
    draws, table = space.distribution, counts.counted(space, size)[quantity]
    code = space.genome
    if genome.is_enumerable(code.space) and draws.factorised:
        rows = np.concatenate(list(genome.enumerate_all(code.space)))
        rows = code.canonical(rows)
        valid = table.of(rows[code.is_valid(rows)])
        ends = float(valid.min()), float(valid.max())
        whole = table.of(rows).reshape(genome.cardinalities(code.space)) / scale
        whole = jnp.asarray(whole, jnp.float32)
        of_gates = lambda gates: scale * expectation.contract(draws.probabilities(gates), whole)
    else:
        most = max(genome.cardinalities(code.space))
        sums = Predictor(
            code.space, "", 1, 0.0, scale, np.zeros(1), table.fixed, costs=table.each[:, :most]
        )
        ends = bounds(space, sums)
        of_gates = expectation.expected(sums, draws)
    return CostModel(
        quantity, table.of, lambda gates: of_gates(draws.normalise(gates)), ends
    )  # fmt: skip


def bounds(space: SearchSpace, model: Predictor) -> tuple[float, float]:
    """What the cheapest and the dearest network of the space cost, as predicted.

    Exact but for models of cells of DARTS, where descent from many networks looks for them.
    """
    if model.costs is not None:
        of = _of_cells if space.edges_per_node else _of_path
        return tuple(max(of(space, model, sign), model.least_ms) for sign in (-1, 1))
    if space.distribution.factorised:
        rows = np.concatenate(list(genome.enumerate_all(space.genome.space)))
        rows = np.unique(space.genome.canonical(rows), axis=0)
        ms = model.predict(rows[space.genome.is_valid(rows)])[0]
        return float(ms.min()), float(ms.max())
    cost = lambda rows: model.predict(rows)[0]
    return sampling.minimise(space, cost), -sampling.minimise(space, lambda rows: -cost(rows))


def check(constraint: Constraint) -> Constraint:
    """The constraint. Raises ConstraintError for a limit that is no number above 0, or that no
    network of the space reaches, or that all do."""
    cost, limit, (low, high) = constraint.cost, constraint.limit, constraint.cost.bounds
    shown = f"{{:.4g}} {cost.unit}" if cost.unit else "{:,.0f}"
    if not (math.isfinite(limit) and limit > 0):
        raise ConstraintError(f"The target {cost.quantity} is {limit}: give a number above 0.")
    if not low <= constraint.aim <= high:
        less = ""
        if constraint.risk:
            less = f", less {constraint.risk:g} half-widths of the interval,"
        where = "the cheapest network takes more"
        where = where if constraint.aim < low else "every network takes less"
        raise ConstraintError(
            f"The target {cost.quantity} is {shown.format(limit)}{less} and {where}: this space "
            f"has {shown.format(low)} to {shown.format(high)}."
        )
    return constraint


def _of_path(space: SearchSpace, model: Predictor, sign: int) -> float:
    """The most, or with a sign of -1 the least, that layers and pairs of neighbours come to."""
    positions = genome.positions(model.space)
    order = genome.chain_order(model.space)
    names = [positions[p].candidates for p in order]
    scores = [sign * model.costs[p, : len(n)] for p, n in zip(order, names, strict=True)]
    steps = []
    for layer, (before, behind) in enumerate(zip(names[:-1], names[1:], strict=True)):
        step = np.zeros((len(before), len(behind)))
        if model.pairs is not None:
            step = sign * model.pairs[layer, : len(before), : len(behind)]
        steps.append(np.where(op_names.connect(before, behind), step, -np.inf))
    total, _ = discretise.best_path(scores, steps)
    return float(model.constant + sign * total)


def _of_cells(space: SearchSpace, model: Predictor, sign: int) -> float:
    """The most, or least, of the edges that a node keeps, where costs add up."""
    pick: Callable = np.max if sign > 0 else np.min
    nodes: dict[tuple[str, int], list[float]] = {}
    for p, position in enumerate(genome.positions(model.space)):
        stands = [o for o, op in enumerate(position.candidates) if op not in (NONE, AUXILIARY_SKIP)]
        node = nodes.setdefault((position.choice, position.edge[1]), [])
        node.append(pick(model.costs[p, stands]))
    kept = [sorted(of, key=lambda c: -sign * c)[: space.edges_per_node] for of in nodes.values()]
    return float(model.constant + sum(map(sum, kept)))
