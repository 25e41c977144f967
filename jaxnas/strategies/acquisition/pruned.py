"""A smaller space: values of variables that harm by their Shapley values are left out.

GBDT-NAS-3S, Luo et al. 2020, https://arxiv.org/abs/2007.04785, first order.
"""

import functools
from collections.abc import Callable

import numpy as np

from jaxnas.strategies.acquisition.model import Acquisition, Model
from jaxnas.strategies.designs import combine
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.designs.features import all_values
from jaxnas.strategies.goals import Goals, ranks
from jaxnas.strategies.strategy import History
from jaxnas.strategies.surrogates import trees
from jaxnas.strategies.surrogates.ranked import normal_scores


def pruned(
    space: DesignSpace,
    acquisition: Callable[[DesignSpace], Acquisition],
    *,
    after: int,
    pairs: int,
) -> Acquisition:
    """`acquisition` of the space, after `after` designs of the space without `pairs` values.

    What is left out follows from the first `after` designs alone, so that it stays. Values are
    ranked by all goals together. Where the smaller space has no design left, of the whole space.
    Raises ValueError where LightGBM is not installed.
    """
    trees.require()
    whole = acquisition(space)

    @functools.lru_cache(maxsize=4)
    def of_pairs(harmful: tuple[tuple[int, int], ...]) -> Acquisition:
        return acquisition(combine.without(space, harmful))

    def propose(model: Model, history: History, random: np.random.Generator, count: int) -> Designs:
        if len(history.designs) < after:
            return whole(model, history, random, count)
        harmful = harmful_pairs(
            space, model.goals, history.designs[:after], history.values[:after], pairs
        )
        found = of_pairs(harmful)(model, history, random, count)
        return found if len(found) else whole(model, history, random, count)

    return propose


def harmful_pairs(
    space: DesignSpace, goals: Goals, designs: Designs, values: np.ndarray, pairs: int
) -> tuple[tuple[int, int], ...]:
    """At most `pairs` (variable, value), the most harmful first.

    By the mean Shapley value, over the designs that have it, of a value's own feature; below zero
    alone, and never the last value of a variable that is left.
    """
    x = all_values(space, designs)
    places = ranks(goals, values)
    worst = places[np.isfinite(places)].max(initial=0) + 1
    scores = normal_scores(-np.where(np.isfinite(places), places, worst))
    contributions = trees.shapley(x, scores)[:, :-1]
    has = x.sum(0)
    mean = (contributions * x).sum(0) / np.maximum(has, 1)
    names = [(d, v) for d, size in enumerate(space.cardinalities) for v in range(size)]
    left = list(space.cardinalities)
    found: list[tuple[int, int]] = []
    for column in np.argsort(mean, kind="stable"):
        variable, value = names[column]
        if len(found) == pairs or mean[column] >= 0:
            break
        if has[column] and left[variable] > 1:
            found.append((variable, value))
            left[variable] -= 1
    return tuple(found)
