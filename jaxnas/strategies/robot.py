"""RoBoT: the best weighting of training-free scores by Bayesian optimisation, then its greedy use.

He et al. 2024, https://arxiv.org/abs/2403.07591
"""

import functools

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

    @functools.cache
    def pool() -> tuple[Designs, np.ndarray]:
        """Designs, and their scores in [0, 1]."""
        designs = _pool(space)
        columns = np.stack([space.known[name](designs) for name in names], 1)
        designs, columns = (of[np.isfinite(columns).all(1)] for of in (designs, columns))
        width = np.ptp(columns, axis=0)
        return designs, (columns - columns.min(0)) / np.where(width > 0, width, 1)

    @functools.cache
    def tops() -> tuple[np.ndarray, list[bytes]]:
        """Weightings f64[1024, S], and the key of the top design of each."""
        sobol = scipy.stats.qmc.Sobol(len(names), seed=0)
        weightings = 2 * sobol.random(WEIGHTINGS) - 1
        designs, of_designs = pool()
        return weightings, keys(designs[(of_designs @ weightings.T).argmax(0)])

    def propose(history: History, random: np.random.Generator, count: int) -> Designs:
        if not len(pool()[0]):
            return variation.sample(space, random, count, history.seen)
        found = variation.empty(space)
        while len(found) < count:
            told = len(history.designs) + len(found)
            seen = history.seen | set(keys(found))
            row = _explored(history, seen, random) if told < explore else None
            row = _greedy(history, seen) if row is None else row
            if row is None:
                more = variation.sample(space, random, count - len(found), seen)
                return np.concatenate([found, more])
            found = np.concatenate([found, row[None]])
        return found

    def _explored(history: History, seen, random: np.random.Generator) -> np.ndarray | None:
        weightings, top = tops()
        new = np.array([key not in seen for key in top])
        if not new.any():
            return None
        tried, values = _tried(history)
        if len(tried) < FEWEST:
            chosen = random.choice(np.flatnonzero(new))
        else:
            model = ranked(kernel())(weightings[tried], values, random)
            bound = model.mean(weightings) + optimism * model.std(weightings)
            chosen = np.where(new, bound, -np.inf).argmax()
        return np.frombuffer(top[chosen], np.int64)

    def _greedy(history: History, seen) -> np.ndarray | None:
        weightings, _ = tops()
        tried, values = _tried(history)
        best = weightings[tried[values.argmax()]] if len(tried) else np.ones(len(names))
        designs, of_designs = pool()
        for index in np.argsort(-(of_designs @ best), kind="stable"):
            if designs[index].tobytes() not in seen:
                return designs[index]
        return None

    def _tried(history: History) -> tuple[np.ndarray, np.ndarray]:
        """The weightings whose top design was evaluated, and -1 times its place among all."""
        place = np.empty(len(history.designs))
        place[order(goals, history.values)] = np.arange(len(place))
        value_of = dict(zip(keys(history.designs), -place, strict=True))
        pairs = [(i, value_of[key]) for i, key in enumerate(tops()[1]) if key in value_of]
        return np.array([i for i, _ in pairs], np.int64), np.array([v for _, v in pairs])

    return of_history(space, len(goals), propose, batch)


def _pool(space: DesignSpace) -> Designs:
    """All designs, or the same 100,000 always."""
    if is_listable(space):
        return all_designs(space)
    return variation.sample(space, np.random.default_rng(0), SAMPLES)
