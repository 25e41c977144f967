"""What a search is to stay below: a target as a limit of gates and as a cost of networks."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnas import catalogue, target_terms
from jaxnas.latency import chains, expected, layout, programs
from jaxnas.latency.model import Model, margin, unit
from jaxnas.space import NONE
from jaxnas.target import codes, costs
from jaxnas.target.opened import TargetError
from jaxnas.types import Gates, Scalar


class Aim(NamedTuple):
    """One target. `aim` is what to come near from below: `most`, less a risk."""

    name: str  # "ms", "macs", "parameters", or what a model of another quantity is called
    most: float
    aim: float
    expected: Callable[[Gates], Scalar]
    cost: Callable[[np.ndarray], np.ndarray]  # f64[N] of deployed networks i[N, positions]
    model: Model | None = None  # that it is predicted by; None: it is counted
    fixed: target_terms.Fixed | None = None  # the form of its term; None: it is held

    @property
    def limit(self) -> target_terms.Limit:
        """What holds the search."""
        return target_terms.Limit(self.name, self.aim, self.expected, self.fixed)


def of_model(
    entry: catalogue.Entry, model: Model, most: float, risk: float = 0.0, name: str = "ms"
) -> Aim:
    """A target in milliseconds, or of another quantity, as a model of the space predicts it.

    With `risk` K, K half-widths of the model's 90 % interval lie between its prediction and the
    target: 1 puts the whole interval below. Raises TargetError for a target that no network of the
    space reaches, or that all do.
    """
    refuse_space(entry, model)
    low, high = ends(entry, model)
    aim = most / (1 + risk * margin(model))
    less = f", less {risk:g} half-widths of the interval," if risk else ""
    refuse_range(name, most, aim, low, high, f"{{:.4g}} {unit(model.quantity)}", less)
    return Aim(
        name, most, aim, expected.expected(model),
        lambda networks: model.predict(networks)[0], model,
    )  # fmt: skip


def of_counts(entry: catalogue.Entry, size: programs.Size, name: str, most: float) -> Aim:
    """A target in MACs or parameters of the deployed network, counted exactly.

    Of gates the expectation of a small space is exact: its networks are counted without their dead
    edges. Raises TargetError as `of_model`.
    """
    refuse_space(entry)
    table = costs.counted(entry, size)[name]
    if layout.enumerable(entry.space):
        every = np.concatenate(list(layout.everything(entry.space)))
        deployed = codes.pruned(entry, every)
        alive = table.of(deployed[lives(entry, deployed)])
        low, high = float(alive.min()), float(alive.max())
        whole = jnp.asarray(
            table.of(deployed).reshape(layout.sizes(entry.space)) / most, jnp.float32
        )
        expect = lambda gates: most * _contracted(entry, gates, whole)
    else:
        sizes = layout.sizes(entry.space)
        rows = [row[:n] for row, n in zip(table.each, sizes, strict=True)]
        low, high = (table.fixed + sum(float(pick(row)) for row in rows) for pick in (min, max))
        expect = lambda gates: (
            table.fixed
            + sum(
                jnp.sum(jnp.asarray(row, jnp.float32) * gate)
                for row, gate in zip(rows, _rows(entry, gates), strict=True)
            )
        )
    refuse_range(name, most, most, low, high, "{:,.0f}")
    return Aim(name, most, most, expect, table.of)


def ends(entry: catalogue.Entry, model: Model) -> tuple[float, float]:
    """Milliseconds of the cheapest and of the dearest network of the space, as predicted."""
    if model.costs is None:
        every = np.concatenate(list(layout.everything(entry.space)))
        deployed = np.unique(codes.pruned(entry, every), axis=0)
        ms = model.predict(deployed[lives(entry, deployed)])[0]
        return float(ms.min()), float(ms.max())
    return tuple(max(_path(model, pick), model.least_ms) for pick in (np.min, np.max))


def lives(entry: catalogue.Entry, deployed: np.ndarray) -> np.ndarray:
    """bool[N]: whether something reaches the output of every cell; dead ones are all `none`."""
    if layout.is_chain(entry.space):
        return np.ones(len(deployed), bool)
    positions = layout.positions(entry.space)
    open_ = np.stack(
        [deployed[:, i] != p.candidates.index(NONE) for i, p in enumerate(positions)], 1
    )
    of = {name: [p.choice == name for p in positions] for name in entry.space}
    return np.all([open_[:, columns].any(1) for columns in of.values()], 0)


def refuse_space(entry: catalogue.Entry, model: Model | None = None) -> None:
    """Raises TargetError where the model is of another space, or a genotype keeps few edges."""
    whole = layout.enumerable(entry.space) or layout.is_chain(entry.space)
    if not whole or not codes.all_stay(entry):
        raise TargetError(
            "A target needs a space in which every edge stays in the network, NAS-Bench-201 or a "
            "chain: in this one gates do not say what a network will cost."
        )
    if model is not None and dict(model.space) != dict(entry.space):
        raise TargetError("The latency model is of another space: measure and fit this one.")


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


def _contracted(entry: catalogue.Entry, gates: Gates, table) -> Scalar:
    for row in _rows(entry, gates):
        table = jnp.tensordot(row, table, 1)
    return table


def _rows(entry: catalogue.Entry, gates: Gates) -> list:
    layout.check_gates(entry.space, gates)
    return [gates[position.choice][position.row] for position in layout.positions(entry.space)]


def _path(model: Model, pick: Callable) -> float:
    """The least or most that layers and pairs of neighbours come to (Viterbi)."""
    order, sizes = chains.order(model.space), layout.sizes(model.space)
    best = model.costs[order[0], : sizes[order[0]]]
    for at, (left, here) in enumerate(zip(order[:-1], order[1:], strict=True)):
        step = best[:, None] + model.costs[here, : sizes[here]]
        if model.pairs is not None:
            step = step + model.pairs[at, : sizes[left], : sizes[here]]
        best = pick(step, axis=0)
    return float(model.constant + pick(best))
