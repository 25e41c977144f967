"""Early stopping by curvature: a search stops, or rolls back, if the eigenvalue rises too fast.

Every few epochs the dominant eigenvalue of the architecture's Hessian is recorded; a rule over the
records is triggered by a fast increase. The records are a part of the state, so that they are
saved, scanned and mapped with it. R-DARTS, https://arxiv.org/abs/1909.09656, section 4; indices as
in its code, automl/RobustDARTS src/utils.py (EVLocalAvg) and src/search/train_search.py.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core.types import Batch, Key, Scalar, Search, SearchState

# (state, validation batch) -> f[]
Eigenvalue = Callable[[SearchState, Batch], Scalar]
# The metrics of `search.bilevel`.
METRICS = ("loss/train", "accuracy/train", "loss/valid", "accuracy/valid", "arch/active")


class Rule(NamedTuple):
    """A record is made at the end of epochs 0, every, 2 every...; epochs count from 0.

    The mean of the last `window` records (fewer at the start) at record r is attributed to the
    middle one, `r - window // 2`. If it exceeds `ratio` times that of `delay` records before, the
    stopping point is record `r - window // 2 - delay`, provided its epoch is `start` or later.
    """

    every: int = 2
    window: int = 5
    delay: int = 4
    start: int = 10
    ratio: float = 1.3

    @property
    def lag(self) -> int:
        """The number of records from the stopping point to the last record."""
        return self.window // 2 + self.delay


class EarlyStoppingState(NamedTuple):
    """The records of the current weights' trajectory."""

    step: Scalar  # i32[], steps of the trajectory
    count: Scalar  # i32[], records
    eigenvalues: jax.Array  # f32[records of a whole search], undefined from `count` on
    kept: Any  # ring buffer of the trees to restore, of the last `lag + 1` records
    stopped: Scalar  # bool[]
    returns: Scalar  # i32[], number of roll-backs
    floor: Scalar  # i32[], the record last restored: no earlier one is available
    measured: dict[str, Scalar]  # metrics of the last executed step


class StoppingPoint(NamedTuple):
    """The record that the rule selects."""

    record: Scalar  # i32[]
    step: Scalar  # i32[], steps until the record
    tree: Any  # the recorded trees


def local_average(eigenvalues: jax.Array, record: Scalar | int, window: int) -> Scalar:
    """Mean of the `window` records up to `record`, of fewer at the start."""
    index = jnp.arange(len(eigenvalues))
    in_window = (index <= record) & (index > record - window)
    return jnp.sum(jnp.where(in_window, eigenvalues, 0)) / jnp.maximum(in_window.sum(), 1)


def is_triggered(rule: Rule, eigenvalues: jax.Array, record: Scalar | int) -> Scalar:
    """bool[]: whether the rule is triggered at `record`, the last one of f32[records]."""
    current = local_average(eigenvalues, record, rule.window)
    earlier = local_average(eigenvalues, record - rule.delay, rule.window)
    return (rule.every * (record - rule.lag) >= rule.start) & (current / earlier > rule.ratio)


def stop_early(
    base: Search, eigenvalue: Eigenvalue, rule: Rule, *, epochs: int, steps_per_epoch: int
) -> Search:
    """`base`, a bilevel search, stopped when the rule is triggered.

    The architecture becomes that of the stopping point; the remaining steps are skipped, at no cost
    except under vmap. `eigenvalue` is computed after the last step of an epoch, of the new state
    and that step's validation batch. The last epoch does not count, as in the paper's code.

    Metrics are those of `base` at the last executed step, `arch/eigenvalue` (the last record, 0
    before the first) and `arch/stopped` (0 or 1); `arch/active` is 0 for skipped steps. Raises
    ValueError for a rule that is invalid or never applies within `epochs`.
    """

    def stop(
        triggered: Scalar,
        state: SearchState,
        records: EarlyStoppingState,
        point: StoppingPoint,
    ):
        state = state._replace(arch=_where(triggered, point.tree, state.arch))
        return state, records._replace(stopped=records.stopped | triggered)

    return _with_rule(
        base, eigenvalue, rule, epochs, steps_per_epoch,
        keep=lambda state: state.arch, react=stop,
        metrics=lambda records: {"arch/stopped": records.stopped},
    )  # fmt: skip


def roll_back(
    base: Search,
    eigenvalue: Eigenvalue,
    rule: Rule,
    *,
    epochs: int,
    steps_per_epoch: int,
    max_returns: int,
    change: Callable[[SearchState, Scalar], SearchState],
) -> Search:
    """`base`, a bilevel search, rolled back when the rule is triggered, up to `max_returns` times.

    Weights, statistics, architecture and both optimisers are restored from the stopping point and
    changed by `change(state, returns)`, which increases the regularisation; keys and batches
    continue. Steps are skipped once the current trajectory has `epochs`: a search that rolled back
    needs more steps in total, and is incomplete without them. Needs the memory of `rule.lag + 1`
    more searches. Records before the one last restored are not available: that one is used instead.

    Metrics and errors as of `stop_early`, with `arch/returns` for `arch/stopped`; ValueError too
    unless max_returns > 0.
    """
    if max_returns < 1:
        raise ValueError(
            f"A search that may go back {max_returns} times needs no early stopping: allow one."
        )
    parts = ("arch", "weights", "stats", "arch_opt", "weight_opt")

    def keep(state: SearchState) -> dict[str, Any]:
        return {name: getattr(state, name) for name in parts}

    def go_back(
        triggered: Scalar,
        state: SearchState,
        records: EarlyStoppingState,
        point: StoppingPoint,
    ):
        is_rolling_back = triggered & (records.returns < max_returns)
        returns = records.returns + 1
        regularised = change(state._replace(**point.tree), returns)
        state = state._replace(**_where(is_rolling_back, keep(regularised), keep(state)))
        rewound = records._replace(
            step=point.step,
            count=point.record + 1,
            returns=returns,
            floor=point.record,
        )
        return state, _where(is_rolling_back, rewound, records)

    return _with_rule(
        base, eigenvalue, rule, epochs, steps_per_epoch, keep=keep, react=go_back,
        metrics=lambda records: {"arch/returns": records.returns},
    )  # fmt: skip


def _with_rule(
    base: Search,
    eigenvalue: Eigenvalue,
    rule: Rule,
    epochs: int,
    steps_per_epoch: int,
    *,
    keep: Callable[[SearchState], Any],
    react: Callable[..., tuple[SearchState, EarlyStoppingState]],
    metrics: Callable[[EarlyStoppingState], dict[str, Scalar]],
) -> Search:
    _check(rule, epochs)
    period, total = rule.every * steps_per_epoch, epochs * steps_per_epoch

    def unwrap(state: SearchState) -> SearchState:
        return state._replace(memory=state.memory["search"])

    def wrap(state: SearchState, records: EarlyStoppingState) -> SearchState:
        return state._replace(memory={"search": state.memory, "watch": records})

    def init(key: Key, inputs: jax.Array) -> SearchState:
        state = base.init(key, inputs)
        ring = jax.tree.map(
            lambda x: jnp.zeros((rule.lag + 1, *jnp.shape(x)), jnp.result_type(x)), keep(state)
        )
        records = EarlyStoppingState(
            step=jnp.int32(0), count=jnp.int32(0),
            eigenvalues=jnp.zeros(-(-epochs // rule.every), jnp.float32), kept=ring,
            stopped=jnp.array(False), returns=jnp.int32(0), floor=jnp.int32(0),
            measured={name: jnp.float32(0) for name in METRICS},
        )  # fmt: skip
        return wrap(state, records)

    def record(valid: Batch, state: SearchState, records: EarlyStoppingState):
        count, depth = records.count, rule.lag + 1
        value = eigenvalue(state, valid).astype(jnp.float32)
        records = records._replace(
            count=count + 1,
            eigenvalues=records.eigenvalues.at[count].set(value),
            kept=jax.tree.map(
                lambda ring, value: ring.at[count % depth].set(value), records.kept, keep(state)
            ),
        )
        triggered = is_triggered(rule, records.eigenvalues, count) & (records.step < total)
        # May be out of range if the rule is not triggered; the value is then unused.
        index = jnp.maximum(count - rule.lag, records.floor)
        tree = jax.tree.map(lambda ring: ring[index % depth], records.kept)
        point = StoppingPoint(index, index * period + steps_per_epoch, tree)
        return react(triggered, state, records, point)

    def take_step(state: SearchState, records: EarlyStoppingState, train: Batch, valid: Batch):
        state, measured = base.update(state, train, valid)
        measured = {name: measured[name].astype(jnp.float32) for name in METRICS}
        records = records._replace(step=records.step + 1, measured=measured)
        is_due = records.step % period == steps_per_epoch % period
        return jax.lax.cond(
            is_due, functools.partial(record, valid), lambda s, w: (s, w), state, records
        )

    def skip_step(state: SearchState, records: EarlyStoppingState, train: Batch, valid: Batch):
        measured = records.measured | {"arch/active": jnp.float32(0)}
        return state._replace(step=state.step + 1), records._replace(measured=measured)

    def update(state: SearchState, train: Batch, valid: Batch):
        records = state.memory["watch"]
        is_over = records.stopped | (records.step >= total)
        state, records = jax.lax.cond(
            is_over, skip_step, take_step, unwrap(state), records, train, valid
        )
        last = records.eigenvalues[jnp.maximum(records.count - 1, 0)]
        rule_metrics = {"arch/eigenvalue": last} | metrics(records)
        rule_metrics = {name: value.astype(jnp.float32) for name, value in rule_metrics.items()}
        return wrap(state, records), records.measured | rule_metrics

    return Search(init, update, lambda state: base.gates(unwrap(state)))


def _where(condition: Scalar, on_true: Any, on_false: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), on_true, on_false)


def _check(rule: Rule, epochs: int) -> None:
    if min(rule.every, rule.window, rule.delay) < 1 or rule.start < 0 or not rule.ratio > 0:
        raise ValueError(
            f"A rule has every, window and delay >= 1, start >= 0 and ratio > 0, not {rule}."
        )
    if rule.window % 2 == 0:
        raise ValueError(f"A window has a middle: make {rule.window} odd.")
    first = rule.every * (rule.lag - (-rule.start // rule.every))
    # The last epoch does not count.
    if first > epochs - 2:
        raise ValueError(
            f"The rule first applies after epoch {first + 1}, and the search has {epochs}: take at "
            f"least {first + 2} epochs, or a smaller start, delay, window or every."
        )
