"""DARTS: differentiable architecture search. https://arxiv.org/abs/1806.09055"""

from collections.abc import Sequence

from jaxnas.core import search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Constraint, Hypergradient, Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    constraints: Sequence[Constraint] = (),
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """DARTS with the settings of the paper's CIFAR-10 search; `hypergrad` picks the order.

    First order by default. Settings as in quark0/darts cnn/train_search.py. Raises
    ValueError for an impossible learning rate or length.
    """
    return search.bilevel(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch),
        constraints=constraints,
        hypergrad=hypergrad,
    )


METHOD = entry.single_stage("DARTS", darts, relaxation=lambda space: relax.softmax())
