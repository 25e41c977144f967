"""The search strategies by name: the one place to register a strategy."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxnas.core import names
from jaxnas.strategies.auto_od import auto_od
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.enas import enas
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.local_search import local_search
from jaxnas.strategies.multi_agent import multi_agent
from jaxnas.strategies.nasnet import nasnet
from jaxnas.strategies.nsga2 import nsga2
from jaxnas.strategies.random_search import random_search
from jaxnas.strategies.regularised_evolution import regularised_evolution
from jaxnas.strategies.reinforce import reinforce
from jaxnas.strategies.strategy import Strategy


class StrategyEntry(NamedTuple):
    """A strategy as it is listed and made."""

    make: Callable[..., Strategy]  # (design space, goals, **settings)
    summary: str
    paper: str
    source: str = "paper"  # of its settings' defaults: paper, measured here, or our choice
    objectives: int | None = None  # at most; None: any number
    repeats: bool = False  # whether it may ask for a design again, as controllers do

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings with their defaults."""
        parameters = inspect.signature(self.make).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


STRATEGIES: Mapping[str, StrategyEntry] = {
    "random": StrategyEntry(
        random_search, "different designs at random, the baseline", "Bergstra & Bengio 2012"
    ),
    "regularised-evolution": StrategyEntry(
        regularised_evolution, "mutated children of the best among the youngest",
        "https://arxiv.org/abs/1802.01548",
    ),
    "local-search": StrategyEntry(
        local_search, "neighbours of the best design", "https://arxiv.org/abs/2005.02960"
    ),
    "nsga2": StrategyEntry(
        nsga2, "a population by fronts and crowding", "https://doi.org/10.1109/4235.996017",
        "measured here",
    ),
    "reinforce": StrategyEntry(
        reinforce, "a softmax for each variable, moved by rewards",
        "https://doi.org/10.1007/BF00992696", "measured here", objectives=1, repeats=True,
    ),
    "nasnet": StrategyEntry(
        nasnet, "an LSTM controller by PPO", "https://arxiv.org/abs/1707.07012",
        "measured here", objectives=1, repeats=True,
    ),
    "enas": StrategyEntry(
        enas, "an LSTM controller whose state encodes past choices",
        "https://arxiv.org/abs/1904.00438", "our choice", objectives=1, repeats=True,
    ),
    "multi-agent": StrategyEntry(
        multi_agent, "an agent for each group of variables", "https://arxiv.org/abs/2211.16385",
        "our choice", objectives=1, repeats=True,
    ),
    "auto-od": StrategyEntry(
        auto_od, "a curious LSTM controller that imitates its best designs",
        "https://arxiv.org/abs/2006.11321", "our choice", objectives=1, repeats=True,
    ),
}  # fmt: skip


def get(name: str) -> StrategyEntry:
    """The strategy of that name. Raises ValueError for an unknown one."""
    if name not in STRATEGIES:
        raise ValueError(
            f"{names.hint(name, STRATEGIES)}No strategy is called {name!r}; there are "
            f"{', '.join(STRATEGIES)}."
        )
    return STRATEGIES[name]


def make(
    name: str, space: DesignSpace, goals: Goals, settings: Mapping[str, Any] | None = None
) -> Strategy:
    """The strategy of that name with settings.

    Raises ValueError for an unknown name, setting or value, and for more objectives than it takes.
    """
    entry, settings = get(name), dict(settings or {})
    if unknown := sorted(set(settings) - set(entry.settings)):
        raise ValueError(
            f"{name} has no setting {unknown[0]!r}: "
            f"{names.hint(unknown[0], entry.settings)}it has {', '.join(entry.settings)}."
        )
    objectives = sum(goal.sign != 0 for goal in goals)
    if entry.objectives is not None and objectives > entry.objectives:
        raise ValueError(
            f"{name} takes {entry.objectives} goal, not {objectives}: turn the others into limits, "
            "or take another strategy."
        )
    return entry.make(space, goals, **settings)
