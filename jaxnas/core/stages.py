"""Programs: searches of several stages, as generators that a run executes.

A program yields a `Stage`, is sent its `StageResult`, and so on; it returns a `Selection`. It is
pure: equal results lead to equal stages, so that a run that was stopped is resumed by running the
program again over the stages that are finished.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Batch, Gates, Search, SearchState, Space, Supernet


class Stage(NamedTuple):
    """One search, from its first step to its last.

    `net` are settings of the supernet that differ from the run's own: `partial`, `execute`,
    `candidates`, `cells`, `features`. `method(net, epochs=, steps_per_epoch=)` makes the search.
    `begin` turns the fresh state into the one to start from; it must keep step and key. What it
    takes of another stage's state may be that state's own arrays: a run that donates copies
    first. Stages that give the very same `method` object, space and net share one
    compilation, whatever their lengths: such a method takes none of its schedules from `epochs`,
    unless they are equally long.
    """

    name: str  # of the stage's folder: unique in its program
    space: Space
    epochs: int
    method: Callable[..., Search]
    net: Mapping[str, Any] = {}
    begin: Callable[[SearchState], SearchState] | None = None


class StageResult(NamedTuple):
    """How a stage ended.

    `evaluate(gates)` takes gates with a leading axis, `f32[n, edges, candidates]` each, and
    gives `(accuracy, loss)`, f32[n] each, of this supernet at them: means over the whole
    validation half, by batch statistics, computed in one compiled program. `batch(i)` is a batch
    of the training half, the same for the same `i`.
    """

    state: SearchState
    gates: Gates  # expected
    evaluate: Callable[[Gates], tuple[np.ndarray, np.ndarray]]
    net: Supernet
    batch: Callable[[int], Batch]


class Selection(NamedTuple):
    """What a program ends with: `gates` of `space`, which are then discretised."""

    space: Space
    gates: Gates


Program = Generator[Stage, StageResult, Selection]


def one_stage(
    space: Space, epochs: int, method: Callable[..., Search], net: Mapping[str, Any] | None = None
) -> Program:
    """The program of a method of one search."""
    result = yield Stage("search", space, epochs, method, net or {})
    return Selection(space, result.gates)
