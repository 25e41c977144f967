"""Regularised evolution: children of the best of a few among the youngest.

Real et al. 2019, https://arxiv.org/abs/1802.01548
"""

import numpy as np

from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, keys
from jaxnas.strategies.goals import Goals, order
from jaxnas.strategies.strategy import History, Strategy, of_history


def regularised_evolution(
    space: DesignSpace,
    goals: Goals,
    *,
    population: int = 50,
    tournament: int = 10,
    batch: int = 1,
) -> Strategy:
    """Asks for `population` designs at random, then for children with one variable mutated.

    The parent is the best of `tournament` drawn from the last `population` told: with several
    goals by fronts, then the least crowded (ours). Where a parent has no new child, a design at
    random takes its place. Raises ValueError unless 1 <= tournament <= population.
    """
    if not 1 <= tournament <= population:
        raise ValueError(
            f"A tournament of {tournament} cannot be held among {population}: choose 1 to as many."
        )

    def propose(history: History, random: np.random.Generator, count: int) -> Designs:
        to_fill = population - len(history.designs)
        if to_fill > 0:
            return variation.sample(space, random, min(count, to_fill), history.seen)
        alive, values = history.designs[-population:], history.values[-population:]
        place = np.argsort(order(goals, values))

        def children(size: int) -> Designs:
            entrants = random.permuted(np.tile(np.arange(population), (size, 1)), axis=1)
            entrants = entrants[:, :tournament]
            parents = entrants[np.arange(size), place[entrants].argmin(1)]
            return variation.mutate(space, random, alive[parents])

        found = variation.unseen(space, children, count, history.seen)
        if len(found) < count:
            seen = history.seen | set(keys(found))
            more = variation.sample(space, random, count - len(found), seen)
            found = np.concatenate([found, more])
        return found

    return of_history(space, len(goals), propose, batch)
