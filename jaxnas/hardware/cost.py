"""Cost models of a search space: predicted latency (or another quantity), MACs, parameters.

A `Constraint` limits one: the search by the expected cost of gates, the selection by the cost of
networks.
"""

import itertools
import math
from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import AUXILIARY_SKIP, NONE, Constraint, CostModel
from jaxnas.hardware import counts, expectation
from jaxnas.hardware.predict.features import chain_features
from jaxnas.hardware.predict.predictor import Predictor, margin, unit
from jaxnas.spaces import discretise, genome, op_names, sampling
from jaxnas.spaces.search_space import NetworkSize, SearchSpace


class ConstraintError(ValueError):
    """A limit that no network meets, or that all meet: the message is one line."""


def predicted(space: SearchSpace, model: Predictor, quantity: str = "ms") -> CostModel:
    """Predicted milliseconds, or another quantity, as a cost model.

    Raises ConstraintError for a predictor of another space.
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
    """Exact MACs or parameters of networks without their dead edges, as a cost model.

    The expectation over gates is exact in an enumerable space. It is computed in float32, in units
    of `scale`: a typical cost, so that it keeps its precision.
    """
    distribution, table = space.distribution, counts.additive_counts(space, size)[quantity]
    code = space.genome
    if genome.is_enumerable(code.space) and distribution.factorised:
        rows = np.concatenate(list(genome.enumerate_all(code.space)))
        rows = code.canonical(rows)
        valid = table.total(rows[code.is_valid(rows)])
        extremes = float(valid.min()), float(valid.max())
        full_table = table.total(rows).reshape(genome.cardinalities(code.space)) / scale
        full_table = jnp.asarray(full_table, jnp.float32)
        of_gates = lambda gates: (
            scale * expectation.contract(distribution.probabilities(gates), full_table)
        )
    else:
        max_candidates = max(genome.cardinalities(code.space))
        additive = Predictor(
            code.space, "", 1, 0.0, scale, np.zeros(1), table.fixed,
            costs=table.contributions[:, :max_candidates],
        )  # fmt: skip
        extremes = bounds(space, additive)
        of_gates = expectation.expected(additive, distribution)
    return CostModel(
        quantity, table.total, lambda gates: of_gates(distribution.normalise(gates)), extremes
    )  # fmt: skip


def bounds(space: SearchSpace, model: Predictor) -> tuple[float, float]:
    """Minimum and maximum predicted cost over the networks of a space.

    Exact, except for DARTS cells with feature weights: there by local search from many networks.
    """
    if model.costs is not None:
        extreme = _cells_extreme if space.edges_per_node else _chain_extreme
        return tuple(max(extreme(space, model, sign), model.least_ms) for sign in (-1, 1))
    if space.distribution.factorised:
        rows = np.concatenate(list(genome.enumerate_all(space.genome.space)))
        rows = np.unique(space.genome.canonical(rows), axis=0)
        ms = model.predict(rows[space.genome.is_valid(rows)])[0]
        return float(ms.min()), float(ms.max())
    cost = lambda rows: model.predict(rows)[0]
    return sampling.minimise(space, cost), -sampling.minimise(space, lambda rows: -cost(rows))


def check(constraint: Constraint) -> Constraint:
    """The same constraint, checked.

    Raises ConstraintError for a limit that is no positive finite number, that no network of the
    space meets, or that all meet.
    """
    cost, limit, (low, high) = constraint.cost, constraint.limit, constraint.cost.bounds
    number_format = f"{{:.4g}} {cost.unit}" if cost.unit else "{:,.0f}"
    if not (math.isfinite(limit) and limit > 0):
        raise ConstraintError(f"The target {cost.quantity} is {limit}: give a number above 0.")
    if not low <= constraint.aim <= high:
        margin_text = ""
        if constraint.risk:
            margin_text = f", less {constraint.risk:g} half-widths of the interval,"
        cause = "the cheapest network takes more"
        cause = cause if constraint.aim < low else "every network takes less"
        raise ConstraintError(
            f"The target {cost.quantity} is {number_format.format(limit)}{margin_text} and "
            f"{cause}: this space has {number_format.format(low)} to {number_format.format(high)}."
        )
    return constraint


def _chain_extreme(space: SearchSpace, model: Predictor, sign: int) -> float:
    """Maximum (sign 1) or minimum (sign -1) of a chain's costs, over all of its settings."""
    apart = tuple(chain_features.settings(model.space)) if model.factors else ()
    sizes = genome.cardinalities(model.space)
    extremes = []
    for chosen in itertools.product(*(range(sizes[p]) for p in apart)):
        costs = model.costs
        for factor in model.factors:
            costs = costs + factor.values[apart, chosen].prod() * factor.costs
        fixed = dict(zip(apart, chosen, strict=True))
        extremes.append(_path_extreme(model._replace(costs=costs), sign, fixed))
    return sign * max(sign * extreme for extreme in extremes)


def _path_extreme(model: Predictor, sign: int, fixed: Mapping[int, int]) -> float:
    """That of the costs of layers and neighbouring pairs, with the candidates of some `fixed`."""
    positions = genome.positions(model.space)
    order = genome.chain_order(model.space)
    names = [positions[p].candidates for p in order]
    scores = [sign * model.costs[p, : len(n)] for p, n in zip(order, names, strict=True)]
    for layer, p in enumerate(order):
        if p in fixed:
            is_fixed = np.arange(len(names[layer])) == fixed[p]
            scores[layer] = np.where(is_fixed, scores[layer], -np.inf)
    steps = []
    for layer, (before, after) in enumerate(zip(names[:-1], names[1:], strict=True)):
        step = np.zeros((len(before), len(after)))
        if model.pairs is not None:
            step = sign * model.pairs[layer, : len(before), : len(after)]
        steps.append(np.where(op_names.connect(before, after), step, -np.inf))
    total, _ = discretise.best_path(scores, steps)
    return float(model.constant + sign * total)


def _cells_extreme(space: SearchSpace, model: Predictor, sign: int) -> float:
    """Maximum (sign 1) or minimum (sign -1) over the edges each node keeps, for additive costs."""
    extreme: Callable = np.max if sign > 0 else np.min
    nodes: dict[tuple[str, int], list[float]] = {}
    for p, position in enumerate(genome.positions(model.space)):
        operations = [
            o for o, op in enumerate(position.candidates) if op not in (NONE, AUXILIARY_SKIP)
        ]
        node = nodes.setdefault((position.choice, position.edge[1]), [])
        node.append(extreme(model.costs[p, operations]))
    selected = [
        sorted(edge_costs, key=lambda c: -sign * c)[: space.edges_per_node]
        for edge_costs in nodes.values()
    ]
    return float(model.constant + sum(map(sum, selected)))
