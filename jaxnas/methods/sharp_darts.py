"""sharpDARTS: cosine power annealing and Max-W weights. https://arxiv.org/abs/1903.09900"""

from typing import Literal

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import constraints, terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers


def sharp_darts(
    net: Supernet,
    *,
    epochs: int = 120,
    steps_per_epoch: int,
    weighting: Literal["max", "softmax", "joint"] = "max",
    penalty: constraints.Penalty | None = None,
    power: float = 2.0,
    warm_up: int = 5,
    learning_rate: float = 0.025,
    min_learning_rate: float = 1e-4,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS, first order, with the paper's annealing and its Max-W gates.

    With "softmax" gates are DARTS's own; with "joint" all edges of a choice share one softmax,
    which is how the hypercuboid weighs them (`choices.hypercuboid`). Operations are `sharp_ops`,
    the space is `choices.sharp`. Epochs and power (batches of 48) as in ahundt/sharpDARTS; the
    warm-up is that of its golden schedule, not checked for the search. `penalty` is added to the
    validation loss. Raises ValueError for an unknown weighting, an impossible schedule, and a
    penalty beside Max-W, whose gates are no probabilities.
    """
    gates = {"max": relax.max_weighted, "softmax": relax.softmax, "joint": relax.joint_softmax}
    if weighting not in gates:
        raise ValueError(
            f"Candidates are weighted by 'max', 'softmax' or 'joint', not {weighting!r}."
        )
    if penalty is not None and weighting == "max":
        raise ValueError("Max-W's gates are no probabilities, which a penalty needs: take softmax.")
    relaxation, loss = gates[weighting](), terms.cross_entropy()
    annealing = schedules.cosine_power(
        learning_rate, min_learning_rate, epochs=epochs, power=power, warm_up=warm_up
    )
    return search.bilevel(
        net,
        relaxation,
        loss,
        outer_objective=constraints.outer(loss, penalty, relaxation),
        **optimisers.adam_and_sgd(
            schedules.per_epoch(annealing, steps_per_epoch),
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
        ),
    )
