"""GBDT-NAS: gradient-boosted trees predict every design; pruned: values that harm are left out.

Luo et al. 2020, https://arxiv.org/abs/2007.04785
"""

from jaxnas.strategies.acquisition.listed_or_sampled import listed_or_sampled
from jaxnas.strategies.acquisition.pruned import pruned
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.model_based import model_based
from jaxnas.strategies.strategy import Strategy
from jaxnas.strategies.surrogates.ranked import ranked
from jaxnas.strategies.surrogates.trees import trees


def gbdt_nas(space: DesignSpace, goals: Goals, *, first: int = 50, batch: int = 25) -> Strategy:
    """Batches of what boosted trees of ranks predict best, of all designs that can be listed.

    The paper fits values and leaves the worst networks out; ranks find more (measured here).
    """
    return model_based(
        space, goals, ranked(trees()), listed_or_sampled(space), first=first, batch=batch
    )


def gbdt_nas_3s(
    space: DesignSpace,
    goals: Goals,
    *,
    first: int = 100,
    batch: int = 25,
    prune: int = 6,
) -> Strategy:
    """`gbdt_nas` that leaves out, after `first` random designs, the `prune` values that harm most.

    By their mean Shapley value, among those below zero; the paper's first-order version. Designs
    that a search chose would mislead: half of the values hardly occur among them (measured here).
    """
    acquisition = pruned(space, listed_or_sampled, after=first, pairs=prune)
    return model_based(space, goals, ranked(trees()), acquisition, first=first, batch=batch)
