"""The best designs that an evolution by predictions alone finds."""

import numpy as np

from jaxnas.strategies.acquisition.model import Acquisition, Model, best, unseen
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.nsga2 import nsga2
from jaxnas.strategies.strategy import History


def evolved(space: DesignSpace, *, generations: int = 50, population: int = 50) -> Acquisition:
    """The best unseen after NSGA-II on the predictions, which starts from what was evaluated.

    LINAS, https://arxiv.org/abs/2205.10358, which starts anew each time; ours is warm.
    """

    def propose(model: Model, history: History, random: np.random.Generator, count: int) -> Designs:
        inner = nsga2(space, model.goals, population=population)
        state = inner.init()
        if len(history.designs):
            state = inner.tell(state, history.designs, model.values(history.designs))
        for _ in range(generations):
            asked = inner.ask(state, random, population)
            if not len(asked):
                break
            state = inner.tell(state, asked, model.values(asked))
        return best(model, unseen(history, state.designs), count)

    return propose
