"""sharpDARTS: cosine power annealing and Max-W weights. https://arxiv.org/abs/1903.09900"""

import functools
from typing import Literal

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Constraints, Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def sharp_darts(
    net: Supernet,
    *,
    epochs: int = 120,
    steps_per_epoch: int,
    weighting: Literal["max", "softmax", "joint"] = "max",
    constraints: Constraints = (),
    power: float = 2.0,
    warm_up: int = 5,
    optimisers: Optimisers = Optimisers(min_learning_rate=1e-4),
) -> Search:
    """DARTS, first order, with the paper's annealing and its Max-W gates.

    With "softmax" gates are DARTS's own; with "joint" all edges of a choice share one softmax,
    which is how the hypercuboid weighs them (`choices.hypercuboid`). Operations are `sharp_ops`,
    the space is `choices.sharp`. Epochs and power (batches of 48) as in ahundt/sharpDARTS; the
    warm-up is that of its golden schedule, not checked for the search. Raises ValueError for an
    unknown weighting, an impossible schedule, and constraints beside Max-W, whose gates are no
    probabilities.
    """
    gates = {"max": relax.max_weighted, "softmax": relax.softmax, "joint": relax.joint_softmax}
    if weighting not in gates:
        raise ValueError(
            f"Candidates are weighted by 'max', 'softmax' or 'joint', not {weighting!r}."
        )
    if constraints and weighting == "max":
        raise ValueError(
            "Max-W's gates are no probabilities, which constraints need: take softmax."
        )
    rates = optimisers.learning_rate, optimisers.min_learning_rate
    annealing = schedules.cosine_power(*rates, epochs=epochs, power=power, warm_up=warm_up)
    rate = schedules.per_epoch(annealing, steps_per_epoch)
    return search.bilevel(
        net,
        gates[weighting](),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch, rate=rate),
        constraints=constraints,
    )


METHOD = entry.single_stage(
    "sharpDARTS: Max-W, cosine power annealing",
    sharp_darts,
    quick={"warm_up": 1},
    accepts=frozenset(),  # Max-W does not support constraints
)
_JOINT = entry.single_stage(
    "sharpDARTS's hypercuboid: how wide each layer is",
    functools.partial(sharp_darts, weighting="joint"),
    quick={"warm_up": 1},
    needs={"joint"},
)
# With another weighting the widths of a layer would not compete.
HYPERCUBOID = _JOINT._replace(
    defaults={name: value for name, value in _JOINT.defaults.items() if name != "weighting"}
)
