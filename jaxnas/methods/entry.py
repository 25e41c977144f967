"""The registry entry of a method: its program, its settings, and the spaces it needs."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from jaxnas.core import stages
from jaxnas.core.objectives import cost_terms
from jaxnas.core.stages import Program
from jaxnas.core.types import Constraints, Gates, Hypergradient, Relaxation, SearchState, Space
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

Settings = Mapping[str, Any]
NO_SETTINGS: Settings = {}
# Gates of each edge by themselves: what nearly all methods search.
EDGEWISE = frozenset({"edgewise"})
# Sampled gates get few gradients in a short search: these must be larger.
QUICK_SAMPLED = {"warm_up": 2, "arch_every": 1, "arch_learning_rate": 0.03}
# Values of a run for methods whose functions have such a parameter.
FROM_RUN = ("hypergrad", "constraints", "reward")
# Keyword arguments that no user sets.
NOT_SETTINGS = (*FROM_RUN, "outer_objective", "relaxation", "costs", "edges_per_node")


class Context(NamedTuple):
    """The run that a program is made for."""

    space: SearchSpace
    steps_per_epoch: int
    seed: int
    hypergrad: Hypergradient | None = None
    constraints: Constraints = ()
    reward: cost_terms.Reward | None = None
    # file -> milliseconds of each layer's candidates, for `Superkernel.layer_costs`
    layer_times: Callable[[str], Mapping[int, Sequence[float]]] | None = None


class Method(NamedTuple):
    """A method by name: `program(context, settings)` of all settings, which are flat."""

    summary: str
    program: Callable[[Context, Settings], Program]
    defaults: Settings  # the paper's
    quick: Settings = NO_SETTINGS  # what the quick preset has in their place
    needs: Set[str] = EDGEWISE  # of `search_space.CAPABILITIES`
    accepts: Set[str] = frozenset()  # of FROM_RUN
    # That of the last stage, where selection by perturbation may follow.
    relaxation: Callable[[Space], Relaxation] | None = None
    # How gates are discretised, where it is not as the space does; None of a space where it is.
    discretise: Callable[[SearchSpace, Settings], Callable[[Space, Gates], Genotype] | None] = (
        lambda space, settings: None
    )
    # Whether the weights learn from single networks, so that evolution may follow.
    samples_paths: bool = False
    # Of a latency in the loss, where settings and run bring none; None: it needs none.
    latency_weight: Callable[[Settings], float | None] = lambda settings: None
    # Of hard gates: how likely each candidate is.
    probabilities: Callable[[SearchSpace, SearchState], Gates] | None = None
    digest: str | None = None  # SHA-256 of a user's file
    strategy: str = "gradient"  # how it searches
    acceleration: str = "weight sharing"  # what makes an evaluation cheap

    @property
    def cost_sources(self) -> tuple[str, ...]:
        """Where the costs come from that it can take into account; none: it takes no target."""
        if not {"constraints", "reward"} & self.accepts:
            return ()
        return "measured", "predicted", "counted"


def single_stage(
    summary: str,
    function: Callable[..., Any],
    *,
    quick: Settings = NO_SETTINGS,
    net: Settings | Callable[[Settings], Settings] = NO_SETTINGS,
    needs: Set[str] = EDGEWISE,
    **fields: Any,
) -> Method:
    """A method that is one search, which `function(net, epochs=, steps_per_epoch=, ...)` makes.

    `net` are settings of the method that its supernet takes, or a function of the method's
    settings that gives the supernet's. `fields` are further fields of `Method`.
    """
    of_net = {} if callable(net) else net

    def program(context: Context, settings: Settings) -> Program:
        net_settings = net(settings) if callable(net) else {k: settings[k] for k in net}
        method_settings = {k: v for k, v in settings.items() if k not in of_net and k != "epochs"}
        method = bind(function, context, method_settings)
        return stages.one_stage(context.space.choices, settings["epochs"], method, net_settings)

    derived = {
        "defaults": {**defaults(function), **of_net},
        "quick": quick,
        "needs": needs,
        "accepts": accepted(function),
    }
    return Method(summary, program, **derived | fields)


def of_sampled_cells(function: Callable[..., Program]) -> Callable[[Context, Settings], Program]:
    """The program `function(choices, edges_per_node=, seed=, **settings)` of a run."""

    def program(context: Context, settings: Settings) -> Program:
        space, nested = context.space, nest(function, settings)
        return function(
            space.choices, edges_per_node=space.edges_per_node, seed=context.seed, **nested
        )

    return program


def bind(function: Callable[..., Any], context: Context, settings: Settings) -> Callable[..., Any]:
    """`function` with flat settings, and with the accepted values of the run that are not empty."""
    from_run = {name: getattr(context, name) for name in accepted(function)}
    present = {name: value for name, value in from_run.items() if value}
    return functools.partial(function, **nest(function, settings), **present)


def defaults(*functions: Callable[..., Any]) -> dict[str, Any]:
    """The settings of functions in their order and the papers' values, the first one's first.

    A default that is a NamedTuple is replaced by its fields that are not None.
    """
    flat: dict[str, Any] = {}
    for function in functions:
        for name, default in _defaults(function).items():
            if name not in NOT_SETTINGS:
                for key, value in (_fields(default) or {name: default}).items():
                    flat.setdefault(key, value)
    return flat


def nest(function: Callable[..., Any], settings: Settings) -> dict[str, Any]:
    """Flat settings as the keyword arguments of `function`: NamedTuples of their fields."""
    nested = dict(settings)
    for name, default in _defaults(function).items():
        fields = {k: nested.pop(k) for k in _fields(default) if k in nested}
        if fields:
            nested[name] = default._replace(**fields)
    return nested


def accepted(function: Callable[..., Any]) -> frozenset[str]:
    """The parameters of a function that are in FROM_RUN."""
    return frozenset(FROM_RUN) & inspect.signature(function).parameters.keys()


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    return {
        name: parameter.default
        for name, parameter in parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
    }


def _fields(default: Any) -> dict[str, Any]:
    """The fields of a NamedTuple that are settings; none of any other value."""
    if not hasattr(default, "_asdict"):
        return {}
    return {name: value for name, value in default._asdict().items() if value is not None}
