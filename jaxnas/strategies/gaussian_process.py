"""Bayesian optimisation by a Gaussian process of ranks.

White et al. 2021 compare such surrogates of architectures, https://arxiv.org/abs/2104.01177.
"""

from jaxnas.strategies.acquisition.listed_or_sampled import listed_or_sampled
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.model_based import model_based
from jaxnas.strategies.strategy import Strategy
from jaxnas.strategies.surrogates.kernel import kernel
from jaxnas.strategies.surrogates.ranked import ranked


def gaussian_process(
    space: DesignSpace,
    goals: Goals,
    *,
    first: int = 50,
    batch: int = 25,
    optimism: float = 0.0,
) -> Strategy:
    """Batches of what a Gaussian process of normal scores of ranks finds best.

    Of all designs where the space can be listed, else of samples. `optimism`: standard deviations
    above the mean (an upper confidence bound).
    """
    return model_based(
        space, goals, ranked(kernel()), listed_or_sampled(space),
        first=first, batch=batch, optimism=optimism,
    )  # fmt: skip
