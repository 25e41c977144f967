"""The best of all designs of a space that can be listed."""

import functools

import numpy as np

from jaxnas.strategies.acquisition.model import Acquisition, Model, best, unseen
from jaxnas.strategies.designs import design_space, variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace
from jaxnas.strategies.strategy import History

LIMIT = 1 << 20  # rows


def exhaustive(space: DesignSpace) -> Acquisition:
    """The best unseen of all designs, which are listed once.

    Raises ValueError for a space of more than a million rows.
    """
    if not is_listable(space):
        raise ValueError(
            f"The space has {design_space.count(space):.2g} designs, too many to predict each: "
            "take an acquisition by samples or evolution."
        )
    listed = functools.cache(lambda: all_designs(space))

    def propose(model: Model, history: History, random: np.random.Generator, count: int) -> Designs:
        return best(model, unseen(history, listed()), count)

    return propose


def is_listable(space: DesignSpace) -> bool:
    """Whether a space has at most a million rows."""
    return design_space.count(space) <= LIMIT


def all_designs(space: DesignSpace) -> Designs:
    """i64[N, variables]: every canonical and valid design."""
    return np.concatenate([variation.empty(space), *design_space.enumerate_all(space)])
