"""Search strategies: ask for genomes to evaluate, tell their results."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

State = Any


class Strategy(NamedTuple):
    """Pure functions of a state; genomes are i[n, positions]."""

    init: Callable[[], State]
    ask: Callable[[State, int], np.ndarray]  # at most n genomes; none: the search is exhausted
    tell: Callable[[State, np.ndarray, Mapping[str, Any]], State]
    is_done: Callable[[State], bool] = lambda state: False


def run(
    strategy: Strategy,
    evaluate: Callable[[np.ndarray, int], Mapping[str, Any]],
    *,
    rounds: int,
    batch: int,
    evaluations: int | None = None,
) -> State:
    """The state after at most `rounds` of `batch` genomes; `evaluate(genomes, round)`.

    `evaluations`: the most genomes in all, whatever the rounds.
    """
    state, left = strategy.init(), rounds * batch if evaluations is None else evaluations
    for number in range(rounds):
        genomes = strategy.ask(state, min(batch, left))
        if not len(genomes):
            break
        left -= len(genomes)
        state = strategy.tell(state, genomes, evaluate(genomes, number))
        if strategy.is_done(state):
            break
    return state
