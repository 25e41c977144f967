"""The search strategies by name: the one place to register a strategy."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxnas.core import names
from jaxnas.strategies.auto_od import auto_od
from jaxnas.strategies.boshnas import boshnas
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.diffusion_nag import diffusion_nag
from jaxnas.strategies.eeea import eeea
from jaxnas.strategies.enas import enas
from jaxnas.strategies.fbnet_v3 import fbnet_v3
from jaxnas.strategies.gaussian_process import gaussian_process
from jaxnas.strategies.gbdt_nas import gbdt_nas, gbdt_nas_3s
from jaxnas.strategies.goals import Goals
from jaxnas.strategies.linas import linas
from jaxnas.strategies.local_search import local_search
from jaxnas.strategies.multi_agent import multi_agent
from jaxnas.strategies.nasnet import nasnet
from jaxnas.strategies.nsga2 import nsga2
from jaxnas.strategies.random_search import random_search
from jaxnas.strategies.regularised_evolution import regularised_evolution
from jaxnas.strategies.reinforce import reinforce
from jaxnas.strategies.robot import robot
from jaxnas.strategies.strategy import Strategy


class StrategyEntry(NamedTuple):
    """A strategy as it is listed and made."""

    make: Callable[..., Strategy]  # (design space, goals, **settings)
    summary: str
    paper: str
    kind: str  # how it searches: evolution, predictor, controller, ...
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
        random_search, "different designs at random, the baseline", "Bergstra & Bengio 2012",
        "random"
    ),
    "regularised-evolution": StrategyEntry(
        regularised_evolution, "mutated children of the best among the youngest",
        "https://arxiv.org/abs/1802.01548", "evolution",
    ),
    "local-search": StrategyEntry(
        local_search, "neighbours of the best design", "https://arxiv.org/abs/2005.02960",
        "local search"
    ),
    "nsga2": StrategyEntry(
        nsga2, "a population by fronts and crowding", "https://doi.org/10.1109/4235.996017",
        "evolution",
        "measured here",
    ),
    "reinforce": StrategyEntry(
        reinforce, "a softmax for each variable, moved by rewards",
        "https://doi.org/10.1007/BF00992696", "controller",
        "measured here", objectives=1, repeats=True,
    ),
    "nasnet": StrategyEntry(
        nasnet, "an LSTM controller by PPO", "https://arxiv.org/abs/1707.07012", "controller",
        "measured here", objectives=1, repeats=True,
    ),
    "enas": StrategyEntry(
        enas, "an LSTM controller whose state encodes past choices",
        "https://arxiv.org/abs/1904.00438", "controller", "our choice", objectives=1, repeats=True,
    ),
    "multi-agent": StrategyEntry(
        multi_agent, "an agent for each group of variables", "https://arxiv.org/abs/2211.16385",
        "controller",
        "our choice", objectives=1, repeats=True,
    ),
    "auto-od": StrategyEntry(
        auto_od, "a curious LSTM controller that imitates its best designs",
        "https://arxiv.org/abs/2006.11321", "controller", "our choice", objectives=1, repeats=True,
    ),
    "gaussian-process": StrategyEntry(
        gaussian_process, "the best by a Gaussian process of ranks",
        "https://arxiv.org/abs/2104.01177", "predictor", "our choice",
    ),
    "linas": StrategyEntry(
        linas, "evolution on surrogates of every goal", "https://arxiv.org/abs/2205.10358",
        "predictor, evolution",
        "measured here",
    ),
    "gbdt-nas": StrategyEntry(
        gbdt_nas, "the best by boosted trees of ranks", "https://arxiv.org/abs/2007.04785",
        "predictor",
        "measured here",
    ),
    "gbdt-nas-3s": StrategyEntry(
        gbdt_nas_3s, "GBDT-NAS in a space without the values that harm most",
        "https://arxiv.org/abs/2007.04785", "predictor", "measured here",
    ),
    "eeea": StrategyEntry(
        eeea, "NSGA-II that evaluates no design beyond a limit known for free",
        "https://arxiv.org/abs/2108.06156", "evolution", "measured here",
    ),
    "fbnet-v3": StrategyEntry(
        fbnet_v3, "networks and recipes by a predictor that learnt costs beforehand",
        "https://arxiv.org/abs/2006.02049", "predictor, evolution", "our choice",
    ),
    "robot": StrategyEntry(
        robot, "the best weighting of training-free scores, then its order",
        "https://arxiv.org/abs/2403.07591", "training-free scores", "measured here", objectives=1,
    ),
    "diffusion-nag": StrategyEntry(
        diffusion_nag, "designs generated by guided diffusion",
        "https://arxiv.org/abs/2305.16943", "predictor, generation", "our choice", objectives=1,
    ),
    "boshnas": StrategyEntry(
        boshnas, "uphill through a surrogate with two uncertainties",
        "https://arxiv.org/abs/2205.11656", "predictor, gradient", "our choice", objectives=1,
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
