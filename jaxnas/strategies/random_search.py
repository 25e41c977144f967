"""Random search: the baseline of every other strategy."""

import numpy as np

from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.strategy import History, Strategy, of_history


def random_search(space: DesignSpace, goals: Goals, *, batch: int = 10) -> Strategy:
    """Different designs, each equally likely to be drawn. Bergstra & Bengio 2012, JMLR 13.

    Values of variables are drawn evenly, so that designs with many equal rows are likelier.
    """

    def propose(history: History, random: np.random.Generator, count: int) -> Designs:
        return variation.sample(space, random, count, history.seen)

    return of_history(space, len(goals), propose, batch)
