"""BOSHNAS: uphill through a surrogate that knows two uncertainties.

Tuli et al. 2022, https://arxiv.org/abs/2205.11656
"""

from jaxnas.strategies.acquisition.uncertain import sometimes_uncertain
from jaxnas.strategies.acquisition.uphill import uphill
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.model_based import model_based
from jaxnas.strategies.strategy import Strategy
from jaxnas.strategies.surrogates.gradient_fit import NetworkTraining
from jaxnas.strategies.surrogates.npn import npn
from jaxnas.strategies.surrogates.ranked import ranked


def boshnas(
    space: DesignSpace,
    goals: Goals,
    *,
    first: int = 20,
    batch: int = 5,
    optimism: float = 0.5,
    uncertainty: float = 0.1,
    steps: int = 300,
) -> Strategy:
    """Small batches of what gradient ascent finds on mean + `optimism` (aleatoric + epistemic).

    `uncertainty`: the probability of a design of which the model knows least instead. Features are
    one-hot (the paper embeds graphs), ranks take the place of values (ours). `steps` of training
    for each network. One objective.
    """
    surrogate = ranked(npn(training=NetworkTraining(steps=steps)))
    acquisition = sometimes_uncertain(space, uphill(space), share=uncertainty)
    return model_based(
        space, goals, surrogate, acquisition, first=first, batch=batch, optimism=optimism
    )
