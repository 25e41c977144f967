"""GDAS: one drawn candidate an edge, straight through. https://arxiv.org/abs/1910.04465"""

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import constraints, terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers


def gdas(
    net: Supernet,
    *,
    epochs: int = 250,
    steps_per_epoch: int,
    penalty: constraints.Penalty | None = None,
    temperature: float = 10.0,
    min_temperature: float = 0.1,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 5e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS over drawn gates, whose temperature falls in a line from epoch to epoch.

    Which variant it is, the supernet's `execute` says: "all" differentiates every candidate,
    "selected" (v1) the drawn one alone, "surrogate" the drawn one and the others as if they
    gave ones, as the benchmark's code does. Settings as in D-X-Y/AutoDL-Projects
    exps/NAS-Bench-201-algos. Where its code draws again for infinite noise, ours draws none.
    `penalty` is added to the validation loss. Raises ValueError for an impossible
    learning rate, temperature or length.
    """
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    cooling = schedules.linear_decay(temperature, min_temperature, epochs)
    relaxation = relax.gumbel_hard(schedules.per_epoch(cooling, steps_per_epoch))
    loss = terms.cross_entropy()
    return search.bilevel(
        net,
        relaxation,
        loss,
        outer_objective=constraints.outer(loss, penalty, relaxation),
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
            nesterov=True,
        ),
    )
