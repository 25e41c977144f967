"""A search that ends, or goes back, when its architecture has come to lie too sharply.

Every few epochs the dominant eigenvalue of the architecture's Hessian is recorded; a rule over
the records says whether it rises too fast. The watch is a part of the state, so that it is saved,
scanned and mapped with it. R-DARTS, https://arxiv.org/abs/1909.09656, section 4; indices as in
its code, automl/RobustDARTS src/utils.py (EVLocalAvg) and src/search/train_search.py.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnas.core.types import Batch, Key, Scalar, Search, SearchState

# (state, validation batch) -> f[]
Eigenvalue = Callable[[SearchState, Batch], Scalar]
# What `search.bilevel` measures.
METRICS = ("loss/train", "accuracy/train", "loss/valid", "accuracy/valid", "arch/active")


class Rule(NamedTuple):
    """A record is made at the end of epochs 0, every, 2 every...; epochs count from 0.

    The mean of the last `window` records (fewer at the start) at record r is attributed to the
    middle one, `r - window // 2`. Where it exceeds `ratio` times that of `delay` records before,
    the search should have ended at record `r - window // 2 - delay`, provided that this is one
    of epoch `start` or later.
    """

    every: int = 2
    window: int = 5
    delay: int = 4
    start: int = 10
    ratio: float = 1.3

    @property
    def back(self) -> int:
        """How many records lie between the last one and the one to end at."""
        return self.window // 2 + self.delay


class EarlyStoppingState(NamedTuple):
    """What was recorded on the way to the present weights."""

    step: Scalar  # i32[], steps on that way
    count: Scalar  # i32[], records
    eigenvalues: jax.Array  # f32[records of a whole search], meaningless from `count` on
    kept: Any  # a ring of the last `back + 1` records of what is returned to
    stopped: Scalar  # bool[]
    returns: Scalar  # i32[], how often the search went back
    floor: Scalar  # i32[], the record last returned to: none before it is kept
    measured: dict[str, Scalar]  # by the last step that was taken


class StoppingPoint(NamedTuple):
    """Where the rule would have the search end."""

    record: Scalar  # i32[]
    step: Scalar  # i32[], steps that led there
    kept: Any  # what was kept there


def local_average(eigenvalues: jax.Array, record: Scalar | int, window: int) -> Scalar:
    """Mean of the `window` records that end with `record`, or of as many as there are."""
    index = jnp.arange(len(eigenvalues))
    within = (index <= record) & (index > record - window)
    return jnp.sum(jnp.where(within, eigenvalues, 0)) / jnp.maximum(within.sum(), 1)


def is_triggered(rule: Rule, eigenvalues: jax.Array, record: Scalar | int) -> Scalar:
    """bool[]: whether the rule asks to end at `record`, the last one of f32[records]."""
    now = local_average(eigenvalues, record, rule.window)
    before = local_average(eigenvalues, record - rule.delay, rule.window)
    return (rule.every * (record - rule.back) >= rule.start) & (now / before > rule.ratio)


def stop_early(
    base: Search, eigenvalue: Eigenvalue, rule: Rule, *, epochs: int, steps_per_epoch: int
) -> Search:
    """`base`, a bilevel search, which ends where the rule asks it to.

    The architecture becomes that of the record to end at; steps that remain are skipped, at no
    cost but under vmap. `eigenvalue` is taken after the last step of an epoch, of the new state
    and that step's validation batch. The last epoch has no say, as in the paper's code.

    Metrics are those of `base`, of the last step that was taken, and `arch/eigenvalue` (the last
    record, 0 before the first), `arch/stopped` (0 or 1); `arch/active` is 0 where a step is
    skipped. Raises ValueError for a rule that is impossible or cannot ask within `epochs`.
    """

    def react(asked: Scalar, state: SearchState, watch: EarlyStoppingState, end: StoppingPoint):
        state = state._replace(arch=_where(asked, end.kept, state.arch))
        return state, watch._replace(stopped=watch.stopped | asked)

    return _with_rule(
        base, eigenvalue, rule, epochs, steps_per_epoch,
        keep=lambda state: state.arch, react=react,
        tell=lambda watch: {"arch/stopped": watch.stopped},
    )  # fmt: skip


def roll_back(
    base: Search,
    eigenvalue: Eigenvalue,
    rule: Rule,
    *,
    epochs: int,
    steps_per_epoch: int,
    limit: int,
    change: Callable[[SearchState, Scalar], SearchState],
) -> Search:
    """`base`, a bilevel search, which goes back where the rule asks it to, `limit` times at most.

    Weights, statistics, architecture and both optimisers become those of the record to end at,
    which `change(state, returns)` then makes to be regularised more; keys and batches go on.
    Steps are skipped once `epochs` have led to the present weights: a search that went back needs
    more steps in all, and is unfinished without them. Takes the memory of `rule.back + 1` more
    searches. Records before the one last returned to are not kept: that one serves instead.

    Metrics and errors as of `stop_early`, with `arch/returns` for `arch/stopped`; ValueError too
    unless limit > 0.
    """
    if limit < 1:
        raise ValueError(f"A search that may go back {limit} times is watched in vain: allow one.")
    parts = ("arch", "weights", "stats", "arch_opt", "weight_opt")

    def keep(state: SearchState) -> dict[str, Any]:
        return {name: getattr(state, name) for name in parts}

    def react(asked: Scalar, state: SearchState, watch: EarlyStoppingState, end: StoppingPoint):
        goes, returns = asked & (watch.returns < limit), watch.returns + 1
        there = change(state._replace(**end.kept), returns)
        state = state._replace(**_where(goes, keep(there), keep(state)))
        again = watch._replace(
            step=end.step, count=end.record + 1, returns=returns, floor=end.record
        )
        return state, _where(goes, again, watch)

    return _with_rule(
        base, eigenvalue, rule, epochs, steps_per_epoch, keep=keep, react=react,
        tell=lambda watch: {"arch/returns": watch.returns},
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
    tell: Callable[[EarlyStoppingState], dict[str, Scalar]],
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
            lambda x: jnp.zeros((rule.back + 1, *jnp.shape(x)), jnp.result_type(x)), keep(state)
        )
        watch = EarlyStoppingState(
            step=jnp.int32(0), count=jnp.int32(0),
            eigenvalues=jnp.zeros(-(-epochs // rule.every), jnp.float32), kept=ring,
            stopped=jnp.array(False), returns=jnp.int32(0), floor=jnp.int32(0),
            measured={name: jnp.float32(0) for name in METRICS},
        )  # fmt: skip
        return outside(state, watch)

    def record(valid: Batch, state: SearchState, watch: EarlyStoppingState):
        count, depth = watch.count, rule.back + 1
        found = eigenvalue(state, valid).astype(jnp.float32)
        watch = watch._replace(
            count=count + 1,
            eigenvalues=watch.eigenvalues.at[count].set(found),
            kept=jax.tree.map(
                lambda ring, now: ring.at[count % depth].set(now), watch.kept, keep(state)
            ),
        )
        asked = is_triggered(rule, watch.eigenvalues, count) & (watch.step < total)
        # Where nothing is asked this may be no record: a value that nobody looks at.
        at = jnp.maximum(count - rule.back, watch.floor)
        kept = jax.tree.map(lambda ring: ring[at % depth], watch.kept)
        end = StoppingPoint(at, at * period + steps_per_epoch, kept)
        return react(asked, state, watch, end)

    def take(state: SearchState, watch: EarlyStoppingState, train: Batch, valid: Batch):
        state, measured = base.update(state, train, valid)
        measured = {name: measured[name].astype(jnp.float32) for name in METRICS}
        watch = watch._replace(step=watch.step + 1, measured=measured)
        due = watch.step % period == steps_per_epoch % period
        return jax.lax.cond(
            due, functools.partial(record, valid), lambda s, w: (s, w), state, watch
        )

    def skip(state: SearchState, watch: EarlyStoppingState, train: Batch, valid: Batch):
        rests = watch.measured | {"arch/active": jnp.float32(0)}
        return state._replace(step=state.step + 1), watch._replace(measured=rests)

    def update(state: SearchState, train: Batch, valid: Batch):
        watch = state.memory["watch"]
        over = watch.stopped | (watch.step >= total)
        state, watch = jax.lax.cond(over, skip, take, inside(state), watch, train, valid)
        last = watch.eigenvalues[jnp.maximum(watch.count - 1, 0)]
        told = {"arch/eigenvalue": last} | tell(watch)
        told = {name: value.astype(jnp.float32) for name, value in told.items()}
        return outside(state, watch), watch.measured | told

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
    first = rule.every * (rule.back - (-rule.start // rule.every))
    # The last epoch has no say.
    if first > epochs - 2:
        raise ValueError(
            f"The rule first asks after epoch {first + 1}, and the search has {epochs}: take at "
            f"least {first + 2} epochs, or a smaller start, delay, window or every."
        )
