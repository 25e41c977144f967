"""RoBoT: the best weighting of training-free scores by Bayesian optimisation, then its greedy use.

He et al. 2024, https://arxiv.org/abs/2403.07591
"""

import functools
from collections.abc import Set
from typing import NamedTuple

import numpy as np
import scipy.stats

from jaxnas.strategies.acquisition.exhaustive import all_designs, is_listable
from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, keys
from jaxnas.strategies.goals import Goals, order
from jaxnas.strategies.strategy import History, Strategy, of_history
from jaxnas.strategies.surrogates.kernel import kernel
from jaxnas.strategies.surrogates.ranked import ranked

WEIGHTINGS = 1024
SAMPLES = 100_000  # designs that are scored where a space cannot be listed
FEWEST = 3  # weightings that a Gaussian process is fitted to


class Scored(NamedTuple):
    """Designs with all scores, and weightings of them."""

    designs: Designs  # i64[N, variables]
    columns: np.ndarray  # f64[N, scores], each in [0, 1]
    weightings: np.ndarray  # f64[1024, scores]
    tops: list[bytes]  # the key of the top design of each weighting


def robot(
    space: DesignSpace,
    goals: Goals,
    *,
    scores: tuple[str, ...] = (),
    explore: int = 10,
    optimism: float = 2.0,
    batch: int = 1,
) -> Strategy:
    """Evaluates the top designs of weightings of `scores`, then the ranking of the best weighting.

    `scores`: figures that the space knows (all by default), scaled to [0, 1]; designs without one
    of them are left out. The first `explore` designs are tops of 1,024 Sobol points in [-1, 1]^S,
    chosen by the upper confidence bound of a Gaussian process (the paper optimises over the cube,
    and stops exploring after as many queries); then designs follow in the order of the best
    weighting. One objective. Raises ValueError for unknown scores and a space that knows none.
    """
    names = tuple(scores) or tuple(space.known)
    for name in names:
        if name not in space.known:
            known = ", ".join(space.known) or "none"
            raise ValueError(f"The space knows no score {name!r}, but {known}.")
    if not names:
        raise ValueError("robot weighs training-free scores, and this space knows none.")

    scored = functools.cache(lambda: _scored(space, names))

    def propose(history: History, random: np.random.Generator, count: int) -> Designs:
        if not len(scored().designs):
            return variation.sample(space, random, count, history.seen)
        found = variation.empty(space)
        while len(found) < count:
            told = len(history.designs) + len(found)
            seen = history.seen | set(keys(found))
            row = None
            if told < explore:
                row = _explored(scored(), goals, history, seen, random, optimism)
            if row is None:
                row = _greedy(scored(), goals, history, seen)
            if row is None:
                more = variation.sample(space, random, count - len(found), seen)
                return np.concatenate([found, more])
            found = np.concatenate([found, row[None]])
        return found

    return of_history(space, len(goals), propose, batch)


def _scored(space: DesignSpace, names: tuple[str, ...]) -> Scored:
    """All designs, or the same 100,000 always; those without a score are left out."""
    if is_listable(space):
        designs = all_designs(space)
    else:
        designs = variation.sample(space, np.random.default_rng(0), SAMPLES)
    columns = np.stack([space.known[name](designs) for name in names], 1)
    has_all = np.isfinite(columns).all(1)
    designs, columns = designs[has_all], columns[has_all]
    if not len(designs):
        return Scored(designs, columns, np.zeros((0, len(names))), [])
    width = np.ptp(columns, axis=0)
    columns = (columns - columns.min(0)) / np.where(width > 0, width, 1)
    weightings = 2 * scipy.stats.qmc.Sobol(len(names), seed=0).random(WEIGHTINGS) - 1
    return Scored(designs, columns, weightings, keys(designs[(columns @ weightings.T).argmax(0)]))


def _explored(
    scored: Scored,
    goals: Goals,
    history: History,
    seen: Set[bytes],
    random: np.random.Generator,
    optimism: float,
) -> np.ndarray | None:
    """The unseen top design of the weighting with the largest upper confidence bound."""
    new = np.array([key not in seen for key in scored.tops])
    if not new.any():
        return None
    tried, values = _tried(scored, goals, history)
    if len(tried) < FEWEST:
        chosen = random.choice(np.flatnonzero(new))
    else:
        model = ranked(kernel())(scored.weightings[tried], values, random)
        bound = model.mean(scored.weightings) + optimism * model.std(scored.weightings)
        chosen = np.where(new, bound, -np.inf).argmax()
    return np.frombuffer(scored.tops[chosen], np.int64)


def _greedy(scored: Scored, goals: Goals, history: History, seen: Set[bytes]) -> np.ndarray | None:
    """The first unseen design in the order of the best weighting so far."""
    tried, values = _tried(scored, goals, history)
    equal = np.ones(scored.columns.shape[1])
    best = scored.weightings[tried[values.argmax()]] if len(tried) else equal
    for index in np.argsort(-(scored.columns @ best), kind="stable"):
        if scored.designs[index].tobytes() not in seen:
            return scored.designs[index]
    return None


def _tried(scored: Scored, goals: Goals, history: History) -> tuple[np.ndarray, np.ndarray]:
    """The weightings whose top design was evaluated, and -1 times its place among all."""
    place = np.empty(len(history.designs))
    place[order(goals, history.values)] = np.arange(len(place))
    value_of = dict(zip(keys(history.designs), -place, strict=True))
    pairs = [(i, value_of[key]) for i, key in enumerate(scored.tops) if key in value_of]
    return np.array([i for i, _ in pairs], np.int64), np.array([v for _, v in pairs])
