"""What a method says of itself to be asked for by name, and what it is told of its run."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxnas.core import stages
from jaxnas.core.objectives import constraints, cost_terms
from jaxnas.core.stages import Program
from jaxnas.core.types import Gates, Hypergradient, Relaxation, SearchState, Space
from jaxnas.methods import weights_only
from jaxnas.spaces import registry

Settings = Mapping[str, Any]

# Decided by the run, not by its settings.
DECIDED = (
    "net", "steps_per_epoch", "seed", "hypergrad", "widen", "own", "dropped", "relaxation",
    "penalty", "outer_objective", "reward", "costs",
)  # fmt: skip


class Context(NamedTuple):
    """What a program has to know of its run."""

    entry: registry.Entry
    family: str  # "darts", "nasbench201", "mobile" or "grid"
    steps_per_epoch: int
    seed: int
    hypergrad: Hypergradient | None = None
    penalty: constraints.Penalty | None = None
    reward: cost_terms.Reward | None = None

    @property
    def keep(self) -> int | None:
        """Edges that a node keeps; None: all."""
        return 2 if self.family == "darts" else None


class Method(NamedTuple):
    """`program(run, settings)` of all settings; `defaults` are the paper's, `quick` what changes.

    `relaxation(space)` is that of its last stage, where selection by perturbation may follow.
    `families` are those whose spaces it searches. `shares(space, state)` are probabilities where
    gates are hard.
    """

    what: str
    program: Callable[[Context, Settings], Program]
    defaults: Settings
    quick: Settings
    takes_order: bool = False
    takes_target: bool = False
    takes_reward: bool = False
    relaxation: Callable[[Space], Relaxation] | None = None
    select: Callable[..., Any] | None = None  # None: that of the space
    families: tuple[str, ...] = ("darts", "nasbench201", "mobile")
    shares: Callable[[Space, SearchState], Gates] | None = None


def search(
    what: str,
    function: Callable[..., Any],
    net: Settings | None = None,
    quick: Settings | None = None,
    relaxation: Callable[[Space], Relaxation] | None = None,
) -> Method:
    """A method that is done after one search; `net` are settings of its supernet."""
    net = net or {}

    def make(run: Context, settings: Settings) -> Program:
        own = {k: v for k, v in settings.items() if k not in net and k != "epochs"}
        if run.hypergrad is not None:
            own["hypergrad"] = run.hypergrad
        if run.penalty is not None:
            own["penalty"] = run.penalty
        if run.reward is not None:
            own["reward"] = run.reward
        return stages.one_stage(
            run.entry.space,
            settings["epochs"],
            functools.partial(function, **own),
            {k: v for k, v in settings.items() if k in net},
        )

    settings = defaults(function) | net
    if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
        settings = defaults(weights_only.weights_only) | settings
    known = inspect.signature(function).parameters
    takes = [part in known for part in ("hypergrad", "penalty", "reward")]
    return Method(what, make, settings, quick or {}, *takes, relaxation)


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """The settings of a method and what its paper has for them."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
        and parameter.default is not parameter.empty
        and name not in DECIDED
    }
