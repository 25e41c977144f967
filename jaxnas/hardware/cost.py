"""What a search is to stay below: a target as a limit of gates and as a cost of networks."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas.core.objectives import constraints
from jaxnas.core.types import Gates, Scalar
from jaxnas.hardware import counts, expected, programs
from jaxnas.hardware.measure.dataset import TargetError
from jaxnas.hardware.predict import chain_features
from jaxnas.hardware.predict.predictor import Predictor, margin, unit
from jaxnas.spaces import genome, op_names, registry
from jaxnas.spaces.choices import AUXILIARY_SKIP, NONE
from jaxnas.spaces.darts.distribution import KEPT
from jaxnas.strategies import codes, laws


class Aim(NamedTuple):
    """One target. `aim` is what to come near from below: `most`, less a risk."""

    name: str  # "ms", "macs", "parameters", or what a model of another quantity is called
    most: float
    aim: float
    expected: Callable[[Gates], Scalar]
    cost: Callable[[np.ndarray], np.ndarray]  # f64[N] of deployed networks i[N, positions]
    shares: Callable[[Gates], Gates]  # of a search's gates, what `expected` is of
    model: Predictor | None = None  # that it is predicted by; None: it is counted
    fixed: constraints.FixedWeight | None = None  # the form of its term; None: it is held

    @property
    def limit(self) -> constraints.Limit:
        """What holds the search."""
        return constraints.Limit(self.name, self.aim, self.expected, self.fixed, self.shares)


def of_model(
    entry: registry.Entry, model: Predictor, most: float, risk: float = 0.0, name: str = "ms"
) -> Aim:
    """A target in milliseconds, or of another quantity, as a model of the space predicts it.

    With `risk` K, K half-widths of the model's 90 % interval lie between its prediction and the
    target: 1 puts the whole interval below. Raises TargetError for a target that no network of the
    space reaches, or that all do.
    """
    if dict(model.space) != dict(entry.space):
        raise TargetError("The latency model is of another space: measure and fit this one.")
    low, high = ends(entry, model)
    aim = most / (1 + risk * margin(model))
    less = f", less {risk:g} half-widths of the interval," if risk else ""
    refuse_range(name, most, aim, low, high, f"{{:.4g}} {unit(model.quantity)}", less)
    law = laws.of(entry)
    expect = expected.expected(model, None if laws.by_edges(entry) else law)
    cost = lambda networks: model.predict(networks)[0]
    return Aim(name, most, aim, expect, cost, law.shares, model)


def of_counts(entry: registry.Entry, size: programs.NetworkSize, name: str, most: float) -> Aim:
    """A target in MACs or parameters of the deployed network, counted exactly.

    Of gates the expectation of a small space is exact: its networks are counted without their dead
    edges. Raises TargetError as `of_model`.
    """
    law, table = laws.of(entry), counts.counted(entry, size)[name]
    if genome.enumerable(entry.space) and laws.by_edges(entry):
        every = np.concatenate(list(genome.enumerate_all(entry.space)))
        deployed = codes.pruned(entry, every)
        alive = table.of(deployed[lives(entry, deployed)])
        low, high = float(alive.min()), float(alive.max())
        whole = jnp.asarray(
            table.of(deployed).reshape(genome.sizes(entry.space)) / most, jnp.float32
        )
        expect = lambda gates: most * _contracted(law.rows(gates), whole)
    else:
        wide = max(genome.sizes(entry.space))
        sums = Predictor(
            entry.space, "", 1, 0.0, most, np.zeros(1), table.fixed, costs=table.each[:, :wide]
        )
        low, high = ends(entry, sums)
        expect = expected.expected(sums, None if laws.by_edges(entry) else law)
    refuse_range(name, most, most, low, high, "{:,.0f}")
    return Aim(name, most, most, expect, table.of, law.shares)


def ends(entry: registry.Entry, model: Predictor) -> tuple[float, float]:
    """What the cheapest and the dearest network of the space cost, as predicted.

    Exact but for models of cells of DARTS, where many networks are looked at and bettered.
    """
    if model.costs is not None:
        of = _cells_ends if entry.pairs else _path
        return tuple(max(of(model, pick), model.least_ms) for pick in (np.min, np.max))
    if laws.by_edges(entry):
        every = np.concatenate(list(genome.enumerate_all(entry.space)))
        every = np.unique(codes.pruned(entry, every), axis=0)
        ms = model.predict(every[lives(entry, every)])[0]
        return float(ms.min()), float(ms.max())
    cost = lambda networks: model.predict(networks)[0]
    return laws.bettered(entry, cost), -laws.bettered(entry, lambda networks: -cost(networks))


def lives(entry: registry.Entry, deployed: np.ndarray) -> np.ndarray:
    """bool[N]: whether something reaches the output of every cell; dead ones are all `none`.

    In chains and in cells of two edges a node, which are never `none`, it always does.
    """
    if genome.is_chain(entry.space) or entry.pairs:
        return np.ones(len(deployed), bool)
    positions = genome.positions(entry.space)
    open_ = np.stack(
        [deployed[:, i] != p.candidates.index(NONE) for i, p in enumerate(positions)], 1
    )
    of = {name: [p.choice == name for p in positions] for name in entry.space}
    return np.all([open_[:, columns].any(1) for columns in of.values()], 0)


def refuse_range(
    name: str, most: float, aim: float, low: float, high: float, shown: str, less: str = ""
) -> None:
    """Raises TargetError for a target that is no number above 0, or that no choice can meet."""
    if not (math.isfinite(most) and most > 0):
        raise TargetError(f"The target {name} is {most}: give a number above 0.")
    if not low <= aim <= high:
        where = "the cheapest network takes more" if aim < low else "every network takes less"
        raise TargetError(
            f"The target {name} is {shown.format(most)}{less} and {where}: this space has "
            f"{shown.format(low)} to {shown.format(high)}."
        )


def _contracted(rows: list, table) -> Scalar:
    for row in rows:
        table = jnp.tensordot(row, table, 1)
    return table


def _path(model: Predictor, pick: Callable) -> float:
    """The least or most that layers and pairs of neighbours come to (Viterbi)."""
    order, places = chain_features.order(model.space), genome.positions(model.space)
    worst = np.inf if pick is np.min else -np.inf
    best = model.costs[order[0], : len(places[order[0]].candidates)]
    for at, (left, here) in enumerate(zip(order[:-1], order[1:], strict=True)):
        before, names = places[left].candidates, places[here].candidates
        step = best[:, None] + model.costs[here, : len(names)]
        if model.pairs is not None:
            step = step + model.pairs[at, : len(before), : len(names)]
        best = pick(np.where(op_names.connect(before, names), step, worst), axis=0)
    return float(model.constant + pick(best))


def _cells_ends(model: Predictor, pick: Callable) -> float:
    """The least or most of two edges a node, where costs add up."""
    sign, nodes = (1 if pick is np.min else -1), {}
    for p, place in enumerate(genome.positions(model.space)):
        stands = [o for o, op in enumerate(place.candidates) if op not in (NONE, AUXILIARY_SKIP)]
        nodes.setdefault((place.choice, place.edge[1]), []).append(pick(model.costs[p, stands]))
    kept = [sorted(own, key=lambda cost: sign * cost)[:KEPT] for own in nodes.values()]
    return float(model.constant + sum(map(sum, kept)))
