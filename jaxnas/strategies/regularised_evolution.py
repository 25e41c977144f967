"""Regularised evolution: children of the best of a few among the youngest.

Real et al. 2019, https://arxiv.org/abs/1802.01548
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.spaces import genome as genomes
from jaxnas.spaces.genome import Genome
from jaxnas.strategies.strategy import Strategy

TRIES = 50  # rounds of drawing anew, until enough genomes are new


class History(NamedTuple):
    """All that was told, in order."""

    genomes: np.ndarray  # i64[n, positions]
    scores: np.ndarray  # f64[n], more is better; -inf: it failed
    seen: frozenset[bytes]


def regularised_evolution(
    genome: Genome,
    score: Callable[[Mapping[str, np.ndarray]], np.ndarray],
    *,
    seed: int,
    population: int = 50,
    tournament: int = 10,
) -> Strategy:
    """Evaluates `population` genomes at random, then children: one position is mutated.

    `score(figures)` is f64[n], more is better; NaN: the network failed. The parent is the best of
    `tournament` drawn from the last `population` told. Every genome asked for is canonical, valid
    and new; where a parent has no new child, one at random takes its place. `ask` only reads: it
    draws from the seed and the number of genomes told. Raises ValueError unless 1 <= tournament <=
    population.
    """
    if not 1 <= tournament <= population:
        raise ValueError(
            f"A tournament of {tournament} cannot be held among {population}: choose 1 to as many."
        )
    width = len(genome.positions)

    def init() -> History:
        return History(np.zeros((0, width), int), np.zeros(0), frozenset())

    def ask(state: History, count: int) -> np.ndarray:
        random = np.random.default_rng([seed, len(state.genomes)])
        at_random = lambda n: genomes.sample_uniform(genome.space, n, int(random.integers(2**32)))
        to_fill = population - len(state.genomes)
        if to_fill > 0:
            return _new(genome, at_random, min(count, to_fill), state.seen)
        alive, scores = state.genomes[-population:], state.scores[-population:]

        def children(n: int) -> np.ndarray:
            entrants = random.permuted(np.tile(np.arange(population), (n, 1)), axis=1)
            entrants = entrants[:, :tournament]
            best = scores[entrants].argmax(1)
            return genomes.mutate(genome.space, alive[entrants[np.arange(n), best]], random)

        found = _new(genome, children, count, state.seen)
        if len(found) < count:
            seen = state.seen | {row.tobytes() for row in found}
            found = np.concatenate([found, _new(genome, at_random, count - len(found), seen)])
        return found

    def tell(state: History, asked: np.ndarray, figures: Mapping[str, np.ndarray]) -> History:
        asked = np.ascontiguousarray(asked, int)
        scores = np.asarray(score(figures), np.float64)
        return History(
            np.concatenate([state.genomes, asked]),
            np.concatenate([state.scores, np.where(np.isnan(scores), -np.inf, scores)]),
            state.seen | {row.tobytes() for row in asked},
        )

    return Strategy(init, ask, tell)


def best(state: History) -> np.ndarray:
    """i64[positions]: the first of the best that were told."""
    return state.genomes[state.scores.argmax()]


def _new(
    genome: Genome, draw: Callable[[int], np.ndarray], count: int, seen: frozenset[bytes]
) -> np.ndarray:
    """At most `count` of what is drawn, i64[n, positions]: canonical, valid, new, different."""
    found: dict[bytes, np.ndarray] = {}
    for _ in range(TRIES):
        if len(found) >= count:
            break
        rows = np.ascontiguousarray(genome.canonical(draw(count)), int)
        for row in rows[genome.is_valid(rows)]:
            if (key := row.tobytes()) not in seen:
                found.setdefault(key, row)
    rows = list(found.values())[:count]
    return np.stack(rows) if rows else np.zeros((0, len(genome.positions)), int)
