"""Early stopping by curvature: a search ends, or goes back, where its architecture becomes sharp.

Every few epochs the dominant eigenvalue of the architecture's Hessian is recorded; a rule over
the records says whether it rises too fast. The records are a part of the state, so that they are
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
    middle one, `r - window // 2`. Where it exceeds `ratio` times that of `delay` records before,
    the search should have ended at record `r - window // 2 - delay`, if this is one of epoch
    `start` or later.
    """

    every: int = 2
    window: int = 5
    delay: int = 4
    start: int = 10
    ratio: float = 1.3

    @property
    def lag(self) -> int:
        """How many records the one to end at lies before the last."""
        return self.window // 2 + self.delay


class EarlyStoppingState(NamedTuple):
    """The records that led to the present weights."""

    step: Scalar  # i32[], steps that led there
    count: Scalar  # i32[], records
    eigenvalues: jax.Array  # f32[records of a whole search], meaningless from `count` on
    kept: Any  # a ring of what is returned to, of the last `lag + 1` records
    stopped: Scalar  # bool[]
    returns: Scalar  # i32[], how often the search went back
    floor: Scalar  # i32[], the record last returned to: none before it is kept
    measured: dict[str, Scalar]  # metrics of the last step that was taken


class StoppingPoint(NamedTuple):
    """Where the rule would have the search end."""

    record: Scalar  # i32[]
    step: Scalar  # i32[], steps that led there
    kept: Any  # what was kept of it


def local_average(eigenvalues: jax.Array, record: Scalar | int, window: int) -> Scalar:
    """Mean of the `window` records that end with `record`, or of as many as there are."""
    index = jnp.arange(len(eigenvalues))
    within = (index <= record) & (index > record - window)
    return jnp.sum(jnp.where(within, eigenvalues, 0)) / jnp.maximum(within.sum(), 1)


def is_triggered(rule: Rule, eigenvalues: jax.Array, record: Scalar | int) -> Scalar:
    """bool[]: whether the rule ends the search at `record`, the last one of f32[records]."""
    now = local_average(eigenvalues, record, rule.window)
    before = local_average(eigenvalues, record - rule.delay, rule.window)
    return (rule.every * (record - rule.lag) >= rule.start) & (now / before > rule.ratio)


def stop_early(
    base: Search, eigenvalue: Eigenvalue, rule: Rule, *, epochs: int, steps_per_epoch: int
) -> Search:
    """`base`, a bilevel search, which ends where the rule says so.

    The architecture becomes that of the record to end at; steps that remain are skipped, at no
    cost but under vmap. `eigenvalue` is taken after the last step of an epoch, of the new state
    and that step's validation batch. The last epoch does not count, as in the paper's code.

    Metrics are those of `base`, of the last step that was taken, and `arch/eigenvalue` (the last
    record, 0 before the first), `arch/stopped` (0 or 1); `arch/active` is 0 where a step is
    skipped. Raises ValueError for a rule that is impossible or never applies within `epochs`.
    """

    def stop(triggered: Scalar, state: SearchState, watch: EarlyStoppingState, end: StoppingPoint):
        state = state._replace(arch=_where(triggered, end.kept, state.arch))
        return state, watch._replace(stopped=watch.stopped | triggered)

    return _with_rule(
        base, eigenvalue, rule, epochs, steps_per_epoch,
        keep=lambda state: state.arch, react=stop,
        metrics=lambda watch: {"arch/stopped": watch.stopped},
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
    """`base`, a bilevel search, which goes back where the rule says so, up to `max_returns` times.

    Weights, statistics, architecture and both optimisers become those of the record to end at,
    changed by `change(state, returns)`, which regularises more; keys and batches go on. Steps are
    skipped once `epochs` have led to the present weights: a search that went back needs more steps
    in all, and is unfinished without them. Takes the memory of `rule.lag + 1` more searches.
    Records before the one last returned to are not kept: that one serves instead.

    Metrics and errors as of `stop_early`, with `arch/returns` for `arch/stopped`; ValueError too
    unless max_returns > 0.
    """
    if max_returns < 1:
        raise ValueError(
            f"A search that may go back {max_returns} times is watched in vain: allow one."
        )
    parts = ("arch", "weights", "stats", "arch_opt", "weight_opt")

    def keep(state: SearchState) -> dict[str, Any]:
        return {name: getattr(state, name) for name in parts}

    def go_back(
        triggered: Scalar, state: SearchState, watch: EarlyStoppingState, end: StoppingPoint
    ):
        goes_back, returns = triggered & (watch.returns < max_returns), watch.returns + 1
        earlier = change(state._replace(**end.kept), returns)
        state = state._replace(**_where(goes_back, keep(earlier), keep(state)))
        rewound = watch._replace(
            step=end.step, count=end.record + 1, returns=returns, floor=end.record
        )
        return state, _where(goes_back, rewound, watch)

    return _with_rule(
        base, eigenvalue, rule, epochs, steps_per_epoch, keep=keep, react=go_back,
        metrics=lambda watch: {"arch/returns": watch.returns},
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

    def inside(state: SearchState) -> SearchState:
        return state._replace(memory=state.memory["search"])

    def outside(state: SearchState, watch: EarlyStoppingState) -> SearchState:
        return state._replace(memory={"search": state.memory, "watch": watch})

    def init(key: Key, inputs: jax.Array) -> SearchState:
        state = base.init(key, inputs)
        ring = jax.tree.map(
            lambda x: jnp.zeros((rule.lag + 1, *jnp.shape(x)), jnp.result_type(x)), keep(state)
        )
        watch = EarlyStoppingState(
            step=jnp.int32(0), count=jnp.int32(0),
            eigenvalues=jnp.zeros(-(-epochs // rule.every), jnp.float32), kept=ring,
            stopped=jnp.array(False), returns=jnp.int32(0), floor=jnp.int32(0),
            measured={name: jnp.float32(0) for name in METRICS},
        )  # fmt: skip
        return outside(state, watch)

    def record(valid: Batch, state: SearchState, watch: EarlyStoppingState):
        count, depth = watch.count, rule.lag + 1
        value = eigenvalue(state, valid).astype(jnp.float32)
        watch = watch._replace(
            count=count + 1,
            eigenvalues=watch.eigenvalues.at[count].set(value),
            kept=jax.tree.map(
                lambda ring, now: ring.at[count % depth].set(now), watch.kept, keep(state)
            ),
        )
        triggered = is_triggered(rule, watch.eigenvalues, count) & (watch.step < total)
        # Where the rule is not triggered this may be no record: a value that is not used.
        index = jnp.maximum(count - rule.lag, watch.floor)
        kept = jax.tree.map(lambda ring: ring[index % depth], watch.kept)
        end = StoppingPoint(index, index * period + steps_per_epoch, kept)
        return react(triggered, state, watch, end)

    def take(state: SearchState, watch: EarlyStoppingState, train: Batch, valid: Batch):
        state, measured = base.update(state, train, valid)
        measured = {name: measured[name].astype(jnp.float32) for name in METRICS}
        watch = watch._replace(step=watch.step + 1, measured=measured)
        is_due = watch.step % period == steps_per_epoch % period
        return jax.lax.cond(
            is_due, functools.partial(record, valid), lambda s, w: (s, w), state, watch
        )

    def skip(state: SearchState, watch: EarlyStoppingState, train: Batch, valid: Batch):
        measured = watch.measured | {"arch/active": jnp.float32(0)}
        return state._replace(step=state.step + 1), watch._replace(measured=measured)

    def update(state: SearchState, train: Batch, valid: Batch):
        watch = state.memory["watch"]
        is_over = watch.stopped | (watch.step >= total)
        state, watch = jax.lax.cond(is_over, skip, take, inside(state), watch, train, valid)
        last = watch.eigenvalues[jnp.maximum(watch.count - 1, 0)]
        of_watch = {"arch/eigenvalue": last} | metrics(watch)
        of_watch = {name: value.astype(jnp.float32) for name, value in of_watch.items()}
        return outside(state, watch), watch.measured | of_watch

    return Search(init, update, lambda state: base.gates(inside(state)))


def _where(condition: Scalar, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


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
            f"The rule first asks after epoch {first + 1}, and the search has {epochs}: take at "
            f"least {first + 2} epochs, or a smaller start, delay, window or every."
        )
