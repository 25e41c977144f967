"""A search of several stages: what a method asks of a run, and what it is told.

A program is a generator function. It yields `Stage`s, is sent `StageResult` for each, and returns
`Selection`. It is pure: given equal answers it asks equal questions, so that a run that was stopped
is taken up by running the program again over what is already finished.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxnas.core.types import Batch, Gates, Search, SearchState, Space, Supernet


class Stage(NamedTuple):
    """One search, from its first step to its last.

    `net` are settings of the supernet that differ from the run's own: `partial`, `execute`,
    `candidates`, `cells`, `features`. `method(net, epochs=, steps_per_epoch=)` makes the search.
    `begin` turns the freshly made state into that to start from; it must keep step and key.
    What it takes of another stage's state may be that state's own arrays: a run that donates
    copies first. Stages that give the very same `method` object, space and net share one
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
    """What is to be selected from: `gates` of `space`."""

    space: Space
    gates: Gates


Program = Generator[Stage, StageResult, Selection]


def one_stage(
    space: Space, epochs: int, method: Callable[..., Search], net: Mapping[str, Any] | None = None
) -> Program:
    """The program of a method that is done after one search."""
    done = yield Stage("search", space, epochs, method, net or {})
    return Selection(space, done.gates)
