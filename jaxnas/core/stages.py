"""Programs: searches of several stages, as generators that a run executes.

A program yields a `Stage`, is sent its `StageResult`, and so on; it returns a `Selection`. It is
pure: equal results lead to equal stages, so that an interrupted run is resumed by replaying the
finished stages.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Batch, Gates, Search, SearchState, Space, Supernet


class Stage(NamedTuple):
    """One search, from its first step to its last.

    `net` are settings of the supernet that differ from the run's: `partial`, `execute`,
    `candidates`, `cells`, `features`. `method(net, epochs=, steps_per_epoch=)` makes the search.
    `begin` turns the initial state into the one to start from; it must keep step and key, and may
    reuse arrays of another stage's state: a run that donates copies first. Stages with the
    identical `method` object, space and net share one compilation, for any lengths: schedules of
    such a method must not depend on `epochs`, unless the lengths are equal.
    """

    name: str  # of the stage's folder: unique in its program
    space: Space
    epochs: int
    method: Callable[..., Search]
    net: Mapping[str, Any] = {}
    begin: Callable[[SearchState], SearchState] | None = None


class StageResult(NamedTuple):
    """The result of a stage.

    `evaluate(gates)` takes gates with a leading axis, `f32[n, edges, candidates]` each, and
    returns `(accuracy, loss)`, f32[n] each, of this supernet: means over the validation images of
    the run, with batch statistics, computed in one compiled program; `evaluate(gates, batches)`
    over the first batches of them. `batch(i)` is a batch of the
    training half, the same for the same `i`.
    """

    state: SearchState
    gates: Gates  # expected
    evaluate: Callable[..., tuple[np.ndarray, np.ndarray]]
    net: Supernet
    batch: Callable[[int], Batch]


class Selection(NamedTuple):
    """The result of a program: `gates` of `space`, which are then discretised."""

    space: Space
    gates: Gates


Program = Generator[Stage, StageResult, Selection]


def one_stage(
    space: Space, epochs: int, method: Callable[..., Search], net: Mapping[str, Any] | None = None
) -> Program:
    """The program of a method of one search."""
    result = yield Stage("search", space, epochs, method, net or {})
    return Selection(space, result.gates)
