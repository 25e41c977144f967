"""Single-Path NAS: one superkernel a layer, masked by thresholds. https://arxiv.org/abs/1904.02877

For a net of `supernet.single_path`. Settings as in dstamoulis/single-path-nas
nas-search/search_main.py: 8 epochs on ImageNet at batch 1024, weights and thresholds learn together
by TensorFlow's RMSProp. Left out: the moving average of the weights, which only their evaluation
used, and dropout before the classifier.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxnas.core import search, stages
from jaxnas.core.objectives import cost_terms, terms
from jaxnas.core.objectives.constraints import constrained
from jaxnas.core.stages import Program
from jaxnas.core.types import Constraints, Gates, Relaxation, Search, SearchState, Supernet
from jaxnas.methods import entry
from jaxnas.methods.entry import Context, Settings
from jaxnas.spaces.search_space import SearchSpace

LATENCY_WEIGHT = 0.02  # of the paper's code


def single_path(
    net: Supernet,
    *,
    relaxation: Callable[..., Relaxation],
    costs: cost_terms.Costs | None = None,
    fixed_ms: float | None = None,
    constraints: Constraints = (),
    epochs: int = 8,
    steps_per_epoch: int,
    latency_weight: float | None = None,
    learning_rate: float = 0.064,
    arch_learning_rate: float | None = None,
    weight_decay: float = 1e-5,
    smoothing: float = 0.1,
    warmup: float = 0.625,
    keep: float = 0.6,
) -> Search:
    """Cross-entropy and `latency_weight * 1000 * ln(milliseconds)`, on training data alone.

    `relaxation` is that of the net's superkernels; `costs` and `fixed_ms` as in
    `cost_terms.log_latency`; the weight is 0.02 unless given.
    During the first `warmup` of all steps latency does not count and indicators are dropped with
    probability 1 - `keep`. `constraints` stand in the place of the paper's latency and count from
    the first step on, as their weights adapt to thresholds, which learn from then on (ours).
    `learning_rate` is that of batch 1024 (0.016 for 256), times 0.97 every 2.4 epochs;
    thresholds learn at the same unless `arch_learning_rate` is given. All but normalisation
    decays, thresholds too. Raises ValueError for settings that are impossible, for a net of other
    candidates, for costs of another space, and unless one of `costs` (with `fixed_ms`) and
    `constraints` (without it and a weight) is given.
    """
    if epochs < 1 or steps_per_epoch < 1:
        raise ValueError(
            f"A search has at least one epoch and step, not {epochs} and {steps_per_epoch}."
        )
    weight = LATENCY_WEIGHT if latency_weight is None else latency_weight
    if not (0 < warmup < 1 and 0 <= weight < math.inf):
        raise ValueError(f"Need 0 < warmup < 1 and latency_weight >= 0, not {warmup} and {weight}.")
    if (costs is None) != bool(constraints):
        raise ValueError("Single-Path NAS learns from `costs` or from `constraints`: give one.")
    if (costs is None) != (fixed_ms is None) or (constraints and latency_weight is not None):
        raise ValueError(
            "`fixed_ms` belongs to `costs`, as `latency_weight` does: beside `constraints` they "
            "have no effect, without `fixed_ms` costs are not whole."
        )
    warmup_steps = max(1, round(warmup * epochs * steps_per_epoch))
    gates = relaxation(net.space, warmup_steps=warmup_steps, keep=keep)
    objective = terms.cross_entropy(smoothing)
    if costs is not None:
        cost_terms.check_costs(costs, net.space)
        latency = cost_terms.log_latency(costs, fixed_ms)
        late = terms.weighted(latency, lambda step: weight * (step >= warmup_steps))
        objective = terms.total(loss=objective, latency=late)
    # A weight of 1 would have little effect, given the small slopes of indicators and an
    # optimiser that ignores scale: the initial weight is the paper's.
    start = cost_terms.LOG_SCALE * LATENCY_WEIGHT
    arch_rate = learning_rate if arch_learning_rate is None else arch_learning_rate
    descend = lambda rate: descent(rate, steps_per_epoch, weight_decay)
    return search.single_level(
        net,
        gates,
        constrained(objective, constraints, gates, start=start),
        tx=search.joint_tx(descend(arch_rate), descend(learning_rate)),
    )


def descent(rate: float, steps_per_epoch: int, weight_decay: float) -> optax.GradientTransformation:
    """TensorFlow's RMSProp, whose squares begin at 1, after decay that is added to the gradient."""
    schedule = optax.exponential_decay(rate, 2.4 * steps_per_epoch, 0.97, staircase=True)
    return optax.chain(
        optax.add_decayed_weights(weight_decay, decaying),
        optax.rmsprop(schedule, 0.9, 1e-3, initial_scale=1.0, momentum=0.9),
    )


def decaying(tree):
    """The leaves with decay: all but those of normalisations, by their names."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "norm" not in jax.tree_util.keystr(path), tree
    )


# Settings of a table in place of a target; `table` is a file.
OF_TABLE = {"table": "", "fixed_ms": 0.0, "latency_weight": LATENCY_WEIGHT}


def _has_table(settings: Settings) -> bool:
    """Whether anything of a table is set."""
    return any(settings[name] != default for name, default in OF_TABLE.items())


def _program(context: Context, settings: Settings) -> Program:
    method_settings = {k: v for k, v in settings.items() if k not in ("epochs", *OF_TABLE)}
    if context.constraints:
        for name, default in OF_TABLE.items():
            if settings[name] != default:
                raise ValueError(f"The setting {name} has no effect beside a target: leave it.")
    else:
        method_settings |= _of_table(context, settings)
    method_settings["relaxation"] = context.space.superkernel.relaxation
    method = entry.bind(single_path, context, method_settings)
    choices, epochs = context.space.choices, settings["epochs"]
    return stages.one_stage(choices, epochs, method, {"superkernel": True})


def _of_table(context: Context, settings: Settings) -> dict[str, Any]:
    superkernel = context.space.superkernel
    if not settings["table"]:
        raise ValueError(
            "Single-Path NAS needs latencies: give --target-ms (this device is measured first), or "
            "a table's file as the setting `table`."
        )
    costs = superkernel.layer_costs(context.layer_times(settings["table"]))
    if not settings["fixed_ms"]:
        raise ValueError(
            "A table has the searched layers alone: give the milliseconds of the rest of "
            f"the network, fixed_ms={superkernel.fixed_ms} for the paper's."
        )
    return {"costs": costs} | {name: settings[name] for name in ("fixed_ms", "latency_weight")}


def _probabilities(space: SearchSpace, state: SearchState) -> Gates:
    return space.superkernel.probabilities(space.choices, state.arch, state.weights)


METHOD = entry.Method(
    "Single-Path NAS: one kernel a layer, cut by thresholds",
    _program,
    entry.defaults(single_path) | OF_TABLE,
    # Thresholds react slowly: at a tenth of this rate they do not change in 66 steps.
    quick={"learning_rate": 0.016, "arch_learning_rate": 0.5},
    needs={"superkernel"},
    accepts=entry.accepted(single_path),
    latency_weight=lambda settings: None if _has_table(settings) else LATENCY_WEIGHT,
    probabilities=_probabilities,
)
