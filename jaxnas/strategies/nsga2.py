"""NSGA-II: a population sorted by fronts and crowding, with crossover and mutation.

Deb et al. 2002, https://doi.org/10.1109/4235.996017
"""

import numpy as np

from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.goals import Goals, order
from jaxnas.strategies.strategy import History, Strategy, of_history


def nsga2(
    space: DesignSpace,
    goals: Goals,
    *,
    population: int = 20,
    crossover: float = 0.9,
    mutations: float = 0.5,
    batch: int | None = None,
) -> Strategy:
    """Children of the best `population` of all that was told, two parents by binary tournaments.

    `crossover`: probability of uniform crossover; `mutations`: expected number of mutated variables
    of a child (both our choice: the paper mutates one of n). The survivors are the best of all
    evaluated, which is what (mu + lambda) selection keeps. Asks for `population` at once by
    default. Raises ValueError for a population below 2.
    """
    if population < 2:
        raise ValueError(f"population is {population}: two parents need 2 or more.")
    rate = mutations / len(space.variables)

    def propose(history: History, random: np.random.Generator, count: int) -> Designs:
        to_fill = population - len(history.designs)
        if to_fill > 0:
            return variation.sample(space, random, min(count, to_fill), history.seen)
        alive = history.designs[order(goals, history.values)[:population]]  # best first

        def children(size: int) -> Designs:
            parents = random.integers(0, population, (2, 2, size)).min(1)
            first, second = alive[parents[0]], alive[parents[1]]
            crossed = variation.crossover(random, first, second)
            is_crossed = random.random((size, 1)) < crossover
            return variation.mutate(space, random, np.where(is_crossed, crossed, first), rate)

        found = variation.unseen(space, children, count, history.seen)
        if not len(found):
            return variation.sample(space, random, count, history.seen)
        return found

    return of_history(space, len(goals), propose, batch or population)
