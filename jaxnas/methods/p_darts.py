"""P-DARTS: deeper search networks with fewer candidates, stage by stage.

Chen et al. 2019, https://arxiv.org/abs/1904.12760, chenxin061/pdarts train_search.py.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnas.core import hypergrad, schedules, search
from jaxnas.core.gates import relax, shrink
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Gates, Search, Space, Supernet
from jaxnas.methods import entry
from jaxnas.methods.entry import Context, Settings
from jaxnas.methods.optimisers import Optimisers, transforms
from jaxnas.spaces import discretise

SKIP = "skip_connect"
Rate = Callable[[jax.Array], jax.Array]  # step -> probability that a skip's output is dropped
OPTIMISERS = Optimisers(min_learning_rate=0.0, arch_learning_rate=6e-4)


def stage_search(
    net: Supernet,
    *,
    epochs: int = 25,
    steps_per_epoch: int,
    rest: int = 10,
    optimisers: Optimisers = OPTIMISERS,
    arch_clip_norm: float = 5.0,
) -> Search:
    """First-order DARTS with clipping whose architecture is constant for the first `rest` epochs.

    Raises ValueError unless rest < epochs, and for an invalid learning rate or length.
    """
    schedules.check_warm_up(rest, epochs, "rest")
    rule = hypergrad.first_order()
    txs = transforms(optimisers, epochs, steps_per_epoch)
    arch_tx = optax.chain(optax.clip_by_global_norm(arch_clip_norm), txs.arch_tx)
    txs = txs._replace(arch_tx=arch_tx)
    rule = hypergrad.after(rest * steps_per_epoch, rule) if rest else rule
    return search.bilevel(net, relax.softmax(), terms.cross_entropy(), txs, hypergrad=rule)


def p_darts(
    space: Space,
    *,
    steps_per_epoch: int,
    skip_dropout: Callable[[Rate], Mapping[str, Any]],
    epochs: int = 25,
    rest: int = 10,
    cells: tuple[int, ...] = (5, 11, 17),
    keep: tuple[int, ...] = (5, 3),
    dropout: tuple[float, ...] = (0.1, 0.4, 0.7),
    skips: int | None = 2,
    optimisers: Optimisers = OPTIMISERS,
    arch_clip_norm: float = 5.0,
) -> Program:
    """A stage of `epochs` for each of `cells`; between them `keep` candidates an edge stay.

    Those with the smallest gates are removed, `none` too; every stage starts with new weights and
    a new architecture. Skips are dropped out, at first with the stage's `dropout` (`rate_of`; the
    README's values, the code's default is none): `skip_dropout(rate)` gives a supernet's
    candidates with such skips; at 0 the run's own are used. The selected normal cell has at most
    `skips` of them (`limit_skips`; None: any number); the last stage's reduction to one
    candidate, never `none`, is that of the selection. Further settings are those of
    `stage_search`. Raises ValueError where the numbers of stages differ or more candidates are
    kept than there are, for a rest that leaves no epoch and a dropout outside [0, 1).
    """
    _check(space, cells, keep, dropout, skips)
    schedules.check_warm_up(rest, epochs, "rest")
    method = functools.partial(
        stage_search, rest=rest, optimisers=optimisers, arch_clip_norm=arch_clip_norm
    )

    def stages() -> Program:
        remaining = space
        for number, (count, first_rate) in enumerate(zip(cells, dropout, strict=True)):
            net: dict[str, Any] = {"cells": count}
            if first_rate > 0:
                rate = rate_of(first_rate, epochs, rest, steps_per_epoch)
                net["candidates"] = skip_dropout(rate)
            result = yield Stage(f"stage-{number + 1}", remaining, epochs, method, net)
            if number < len(keep):
                remaining, _ = shrink.top_candidates(remaining, result.gates, keep[number])
        gates = {name: np.array(rows) for name, rows in result.gates.items()}
        if skips is not None:
            gates = limit_skips(remaining, gates, skips)
        return Selection(remaining, gates)

    return stages()


def _check(
    space: Space,
    cells: tuple[int, ...],
    keep: tuple[int, ...],
    dropout: tuple[float, ...],
    skips: int | None,
) -> None:
    counts = [next(iter(space.values())).shape[1], *keep]
    if not len(cells) == len(dropout) == len(counts):
        raise ValueError(
            f"{len(cells)} stages have as many dropouts, and one `keep` fewer: not "
            f"{len(dropout)} and {len(keep)}."
        )
    if any(after >= before or after < 1 for before, after in zip(counts, keep, strict=False)):
        raise ValueError(f"Every stage keeps fewer candidates than the one before: not {counts}.")
    if any(not 0 <= rate < 1 for rate in dropout):
        raise ValueError(f"Skips are dropped with a chance in [0, 1), not {dropout}.")
    if skips is not None and skips < 0:
        raise ValueError(f"A cell has {skips} skips at most: choose zero or more, or None.")


def rate_of(first_rate: float, epochs: int, rest: int, steps_per_epoch: int) -> Rate:
    """step -> the probability that a skip's output is dropped, constant within an epoch.

    A line from `first_rate` towards 0 at `epochs` for the first `rest` epochs; then
    `first_rate * exp(-0.2 (epoch - rest))`, which starts at `first_rate` again.
    """

    def rate(step: jax.Array) -> jax.Array:
        epoch = step // steps_per_epoch
        falling = first_rate * (epochs - epoch - 1) / epochs
        return jnp.where(epoch < rest, falling, first_rate * jnp.exp(-0.2 * (epoch - rest)))

    return rate


def limit_skips(space: Space, gates: Gates, max_skips: int, kind: str = "normal") -> Gates:
    """`gates` whose selected cell `kind` has at most `max_skips` skips.

    While it has more, the selected skip with the smallest gate is closed and the cell selected
    again. Raises ValueError for a space without `kind`.
    """
    if kind not in space:
        raise ValueError(f"There is no {kind!r} cell whose skips could be limited: give None.")
    choice = space[kind]
    rows = np.array(gates[kind])
    while True:
        cell = discretise.top_edges(space[kind], rows)
        edges = [choice.edges.index((s, t)) for s, t, op in cell.edges if op == SKIP]
        if len(edges) <= max_skips:
            return {**gates, kind: rows}
        column = lambda edge: choice.candidates[edge].index(SKIP)
        weakest = min(edges, key=lambda edge: rows[edge, column(edge)])
        if rows[weakest, column(weakest)] == 0:
            raise ValueError(f"No cell of this space has {max_skips} skips: allow more.")
        rows[weakest, column(weakest)] = 0


def _program(context: Context, settings: Settings) -> Program:
    return p_darts(
        context.space.choices,
        steps_per_epoch=context.steps_per_epoch,
        skip_dropout=context.space.edits.skip_dropout,
        **entry.nest(p_darts, settings),
    )


METHOD = entry.Method(
    "P-DARTS: deeper and deeper, fewer candidates",
    _program,
    entry.defaults(p_darts),
    quick={"epochs": 4, "rest": 1, "cells": (2, 3, 4)},
    needs={"candidates"},
)
