"""Now and then the design of which a model knows least."""

import numpy as np

from jaxnas.strategies.acquisition.model import Acquisition, Model
from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, keys
from jaxnas.strategies.strategy import History


def sometimes_uncertain(
    space: DesignSpace, acquisition: Acquisition, *, share: float = 0.1, size: int = 500
) -> Acquisition:
    """`acquisition`, each design with the probability `share` replaced by an uncertain one.

    By those of the largest std of the first goal among `size` at random: BOSHNAS's uncertainty
    sampling.
    """

    def propose(model: Model, history: History, random: np.random.Generator, count: int) -> Designs:
        uncertain = int(random.binomial(count, share))
        found = acquisition(model, history, random, count - uncertain)
        if not uncertain:
            return found
        seen = history.seen | set(keys(found))
        drawn = variation.sample(space, random, size, seen)
        std = model.fitted[0].std(model.features(drawn))
        return np.concatenate([found, drawn[np.argsort(-std)[:uncertain]]])

    return propose
