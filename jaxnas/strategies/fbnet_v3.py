"""FBNetV3: networks and training recipes together, by a predictor that learnt costs beforehand.

Dai et al. 2021, https://arxiv.org/abs/2006.02049; from memory, but for the abstract.
"""

import numpy as np

from jaxnas.strategies.acquisition.evolved import evolved
from jaxnas.strategies.acquisition.model import Model
from jaxnas.strategies.acquisition.sampled import sampled
from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.designs.features import one_hot
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.model_based import model_based
from jaxnas.strategies.strategy import History, Strategy
from jaxnas.strategies.surrogates.pretrained import FITTING, PRETRAINING, pretrained
from jaxnas.strategies.surrogates.ranked import ranked

EXAMPLES = 2000  # designs whose costs are learnt


def fbnet_v3(
    space: DesignSpace,
    goals: Goals,
    *,
    first: int = 50,
    batch: int = 25,
    sampled_until: int = 100,
    pretraining_steps: int = PRETRAINING.steps,
    steps: int = FITTING.steps,
) -> Strategy:
    """Batches by networks that first learn the figures which the space knows for free.

    Until `sampled_until` designs are evaluated, the best of random ones; then those that evolution
    on predictions finds. Give a product of networks and recipes to search both. The first designs
    are random (the paper's: quasi-random under a cap on MACs, here a limit of a goal). Raises
    ValueError for a space that knows nothing.
    """
    if not space.known:
        raise ValueError(
            "fbnet-v3 learns costs of designs beforehand, and this space knows none: take linas."
        )

    def examples() -> tuple[np.ndarray, np.ndarray]:
        designs = variation.sample(space, np.random.default_rng(0), EXAMPLES)
        columns = [of(designs) for of in space.known.values()]
        statistics = np.stack(columns, 1).astype(float)
        return one_hot(space, designs), statistics[:, np.isfinite(statistics).all(0)]

    surrogate = pretrained(
        examples, pretraining=PRETRAINING._replace(steps=pretraining_steps),
        training=FITTING._replace(steps=steps),
    )  # fmt: skip
    at_first, then = sampled(space, near=0), evolved(space)

    def acquisition(
        model: Model, history: History, random: np.random.Generator, count: int
    ) -> Designs:
        chosen = at_first if len(history.designs) < sampled_until else then
        return chosen(model, history, random, count)

    return model_based(space, goals, ranked(surrogate), acquisition, first=first, batch=batch)
