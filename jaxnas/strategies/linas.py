"""LINAS: evolution on surrogates of every goal, which are fitted again after each batch.

Cummings et al. 2022, https://arxiv.org/abs/2205.10358; Sarah et al. 2022,
https://arxiv.org/abs/2202.12954.
"""

from jaxnas.strategies.acquisition.evolved import evolved
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.model_based import model_based
from jaxnas.strategies.strategy import Strategy
from jaxnas.strategies.surrogates.kernel import kernel
from jaxnas.strategies.surrogates.ranked import ranked


def linas(
    space: DesignSpace, goals: Goals, *, first: int = 50, batch: int = 50, generations: int = 50
) -> Strategy:
    """Batches of the best front that NSGA-II finds in `generations` on ranked Gaussian processes.

    The paper's code takes the better of ridge regression and a support vector machine of values;
    a Gaussian process of ranks does as well and is faster (ours).
    """
    return model_based(
        space, goals, ranked(kernel()), evolved(space, generations=generations),
        first=first, batch=batch,
    )  # fmt: skip
