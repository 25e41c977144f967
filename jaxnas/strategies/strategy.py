"""Search strategies: asked for designs to evaluate, told their values.

Laws, which the contract test holds every strategy to: `ask` only reads (the same state and random
numbers give the same designs); a state is what was told, in order (told the same again from `init`,
a strategy asks the same); every asked design is canonical, valid and, unless its file says so, new.
So nothing of a strategy is ever saved: what was told is the state of a search.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxnas.strategies.designs import design_space, variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace

State = Any
MAX_REPEATS = 50  # asks without a new design, after which a search ends


class Strategy(NamedTuple):
    """Pure functions of a state. Values are f64[n, goals]; a row with NaN failed."""

    init: Callable[[], State]
    ask: Callable[[State, np.random.Generator, int], Designs]  # at most n; none: it is exhausted
    tell: Callable[[State, Designs, np.ndarray], State]
    batch: int = 1  # how many designs it asks for at once, at best


class History(NamedTuple):
    """All that was told, in order."""

    designs: Designs  # i64[n, variables]
    values: np.ndarray  # f64[n, goals]
    seen: frozenset[bytes]  # `design_space.keys` of the designs


def empty_history(space: DesignSpace, goals: int) -> History:
    """Nothing told yet."""
    return History(variation.empty(space), np.zeros((0, goals)), frozenset())


def extend(history: History, designs: Designs, values: np.ndarray) -> History:
    """The history with more designs and their values."""
    designs = np.ascontiguousarray(designs, np.int64)
    values = np.asarray(values, float).reshape(len(designs), history.values.shape[1])
    return History(
        np.concatenate([history.designs, designs]),
        np.concatenate([history.values, values]),
        history.seen | set(design_space.keys(designs)),
    )


def of_history(
    space: DesignSpace,
    goals: int,
    propose: Callable[[History, np.random.Generator, int], Designs],
    batch: int = 1,
) -> Strategy:
    """The strategy whose state is the history: `propose(history, random, n)` asks."""
    return Strategy(lambda: empty_history(space, goals), propose, extend, batch)


def random_of_ask(seed: int, number: int) -> np.random.Generator:
    """The random numbers of the ask of that number."""
    return np.random.default_rng([seed, number])


def simulate(
    strategy: Strategy,
    evaluate: Callable[[Designs], np.ndarray],
    evaluations: int,
    seed: int,
    batch: int | None = None,
) -> History:
    """A whole search without a disk: for tests, benchmarks and searches within others.

    `evaluate`: i64[n, variables] -> f64[n, goals]. A design asked for again is told again and not
    counted. Returns the different designs in the order in which they were evaluated. Raises
    ValueError for a space without designs.
    """
    state, number, repeats = strategy.init(), 0, 0
    known: dict[bytes, np.ndarray] = {}
    designs: list[np.ndarray] = []
    while len(known) < evaluations and repeats < MAX_REPEATS:
        count = min(batch or strategy.batch, evaluations - len(known))
        asked = strategy.ask(state, random_of_ask(seed, number), count)
        if not len(asked):
            break
        keys = design_space.keys(asked)
        new = {key: row for key, row in zip(keys, asked, strict=True) if key not in known}
        repeats = 0 if new else repeats + 1
        if new:
            values = np.asarray(evaluate(np.stack(list(new.values()))), float)
            known |= dict(zip(new, values.reshape(len(new), -1), strict=True))
            designs += new.values()
        state = strategy.tell(state, asked, np.stack([known[key] for key in keys]))
        number += 1
    if not designs:
        raise ValueError("The strategy asks for no design: the space has none that is valid.")
    return History(np.stack(designs), np.stack(list(known.values())), frozenset(known))
