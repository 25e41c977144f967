"""EEEA-Net's early exit: NSGA-II that never evaluates a design beyond a limit on its cost.

Termritthikun et al. 2021, https://arxiv.org/abs/2108.06156
"""

import math

import numpy as np

from jaxnas.strategies.designs import combine
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.goals import Goals, violation
from jaxnas.strategies.nsga2 import nsga2
from jaxnas.strategies.strategy import Strategy


def eeea(
    space: DesignSpace,
    goals: Goals,
    *,
    population: int = 20,
    crossover: float = 0.9,
    mutations: float = 0.5,
    batch: int | None = None,
) -> Strategy:
    """`nsga2` among the designs that keep the goals' limits on figures known for free.

    The first population and all children are drawn until they keep them. Settings are those of
    `nsga2`; the paper's are a population of 40, crossover and mutation 0.1. Raises ValueError where
    no goal limits a figure that the space knows.
    """
    limits = [goal for goal in goals if goal.figure in space.known and has_limit(goal)]
    if not limits:
        known = ", ".join(space.known) or "none"
        raise ValueError(
            "eeea leaves out designs beyond a limit on a figure known without an evaluation "
            f"({known}): give such a goal, as parameters<=3e5, or take nsga2."
        )

    def keeps(designs: Designs) -> np.ndarray:
        values = np.stack([space.known[goal.figure](designs) for goal in limits], 1)
        return violation(limits, values) == 0

    return nsga2(
        combine.restricted(space, keeps), goals, population=population, crossover=crossover,
        mutations=mutations, batch=batch,
    )  # fmt: skip


def has_limit(goal) -> bool:
    """Whether a goal has a limit."""
    return math.isfinite(goal.at_most) or math.isfinite(goal.at_least)
