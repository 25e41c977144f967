"""The best of many random designs and of neighbours of the best that were evaluated."""

import numpy as np

from jaxnas.strategies.acquisition.model import Acquisition, Model, best
from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, keys
from jaxnas.strategies.goals import order
from jaxnas.strategies.strategy import History

PARENTS = 20  # evaluated designs whose neighbours are looked at


def sampled(space: DesignSpace, *, size: int = 1000, near: int = 500) -> Acquisition:
    """The best unseen of `size` at random and of `near` mutations of the 20 best evaluated.

    For spaces that cannot be listed (BANANAS looks near the best like this,
    https://arxiv.org/abs/1910.11858).
    """

    def propose(model: Model, history: History, random: np.random.Generator, count: int) -> Designs:
        found = variation.sample(space, random, max(size, count), history.seen)
        if near and len(history.designs):
            parents = history.designs[order(model.goals, history.values)[:PARENTS]]
            draw = lambda n: variation.mutate(
                space, random, parents[random.integers(0, len(parents), n)]
            )
            seen = history.seen | set(keys(found))
            found = np.concatenate([found, variation.unseen(space, draw, near, seen)])
        return best(model, found, count)

    return propose
