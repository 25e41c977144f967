"""Search by surrogates: fit them to all that was evaluated, evaluate what they find best, again."""

from collections.abc import Callable

import numpy as np

from jaxnas.strategies.acquisition.model import Acquisition, Model
from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, keys
from jaxnas.strategies.designs.features import one_hot
from jaxnas.strategies.goals import Goal, Goals
from jaxnas.strategies.strategy import History, Strategy, of_history
from jaxnas.strategies.surrogates.surrogate import Surrogate

FEWEST = 3  # evaluated designs that are fitted to


def model_based(
    space: DesignSpace,
    goals: Goals,
    surrogate: Surrogate,
    acquisition: Acquisition,
    *,
    first: int = 50,
    batch: int = 50,
    optimism: float = 0.0,
    features: Callable[[Designs], np.ndarray] | None = None,
) -> Strategy:
    """Evaluates `first` designs at random; fits a surrogate to each goal; asks for the best unseen.

    `optimism`: standard deviations by which predictions count better. `features`: f64[N, F] of
    designs, one-hot by default. Designs that failed are fitted as the worst seen. Where the
    acquisition finds too few, designs at random follow. Raises ValueError for `first` below 3.
    """
    if first < FEWEST:
        raise ValueError(f"first is {first}: surrogates need {FEWEST} designs or more.")
    of_designs = features or (lambda designs: one_hot(space, designs))

    def propose(history: History, random: np.random.Generator, count: int) -> Designs:
        to_fill = first - len(history.designs)
        if to_fill > 0:
            return variation.sample(space, random, min(count, to_fill), history.seen)
        # Where all failed there is nothing to fit.
        if np.isfinite(history.values).all(1).sum() < FEWEST:
            return variation.sample(space, random, count, history.seen)
        x, values = of_designs(history.designs), with_failures_as_worst(goals, history.values)
        fitted = tuple(surrogate(x, column, random) for column in values.T)
        model = Model(space, goals, of_designs, fitted, optimism)
        found = acquisition(model, history, random, count)
        if len(found) < count:
            seen = history.seen | set(keys(found))
            more = variation.sample(space, random, count - len(found), seen)
            found = np.concatenate([found, more])
        return found

    return of_history(space, len(goals), propose, batch)


def with_failures_as_worst(goals: Goals, values: np.ndarray) -> np.ndarray:
    """f64[N, goals] without NaN: designs that failed have the worst of each goal that was seen."""
    failed = ~np.isfinite(values).all(1)
    worst = [_worst(goal, column) for goal, column in zip(goals, values[~failed].T, strict=True)]
    return np.where(failed[:, None], worst, values)


def _worst(goal: Goal, seen: np.ndarray) -> float:
    """Of a goal that is only a limit, the value that exceeds it most."""
    smaller_is_worse = goal.sign > 0 or (goal.sign == 0 and np.isfinite(goal.at_least))
    return float(seen.min() if smaller_is_worse else seen.max())
