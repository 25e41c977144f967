"""GDAS: one sampled candidate an edge, straight through. https://arxiv.org/abs/1910.04465"""

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Constraints, Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def gdas(
    net: Supernet,
    *,
    epochs: int = 250,
    steps_per_epoch: int,
    constraints: Constraints = (),
    temperature: float = 10.0,
    min_temperature: float = 0.1,
    optimisers: Optimisers = Optimisers(weight_decay=5e-4),
) -> Search:
    """DARTS over sampled gates, whose temperature falls in a line from epoch to epoch.

    The supernet's `execute` says which variant it is: "all" differentiates every candidate,
    "selected" (v1) the sampled one alone, "surrogate" the sampled one and the others as if they
    gave ones, as the benchmark's code does. Settings as in D-X-Y/AutoDL-Projects
    exps/NAS-Bench-201-algos. Where its code samples again for infinite noise, ours samples none.
    Raises ValueError for an impossible learning rate, temperature or length.
    """
    cooling = schedules.linear_decay(temperature, min_temperature, epochs)
    return search.bilevel(
        net,
        relax.gumbel_hard(schedules.per_epoch(cooling, steps_per_epoch)),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch, nesterov=True),
        constraints=constraints,
    )


METHOD = entry.single_stage(
    "GDAS: one candidate an edge, by Gumbel",
    gdas,
    quick={"arch_learning_rate": 0.03},
    net={"execute": "surrogate"},
    needs={"edgewise", "execute"},
)
