"""Fitted surrogates as one model of a search's goals, and what proposes designs by it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxnas.strategies.designs import design_space
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.goals import Goals, order
from jaxnas.strategies.strategy import History
from jaxnas.strategies.surrogates.surrogate import Fitted


class Model(NamedTuple):
    """Surrogates of the goals, in their order."""

    space: DesignSpace
    goals: Goals
    features: Callable[[Designs], np.ndarray]  # f64[N, F]
    fitted: tuple[Fitted, ...]
    optimism: float  # standard deviations by which predictions are better than the mean

    def values(self, designs: Designs) -> np.ndarray:
        """f64[N, goals]: predictions in the goals' units."""
        x = self.features(designs)
        columns = []
        for goal, fitted in zip(self.goals, self.fitted, strict=True):
            column = fitted.mean(x)
            if self.optimism and goal.sign:
                column = column + goal.sign * self.optimism * fitted.std(x)
            columns.append(column)
        return np.stack(columns, 1)


# At most n designs, the best first: canonical, valid, different and not in the history.
Acquisition = Callable[[Model, History, np.random.Generator, int], Designs]


def best(model: Model, designs: Designs, count: int) -> Designs:
    """The `count` designs of i64[N, variables] that are predicted best, best first.

    With several objectives by fronts, within a front the least crowded first.
    """
    if not len(designs):
        return designs
    return designs[order(model.goals, model.values(designs))[:count]]


def unseen(history: History, designs: Designs) -> Designs:
    """Those that are not in the history."""
    return designs[[key not in history.seen for key in design_space.keys(designs)]]
