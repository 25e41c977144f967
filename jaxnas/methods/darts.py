"""DARTS: differentiable architecture search. https://arxiv.org/abs/1806.09055"""

from jaxnas.core import search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Constraints, Hypergradient, Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    constraints: Constraints = (),
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """DARTS as in the paper's CIFAR-10 search (quark0/darts cnn/train_search.py).

    First order without a `hypergrad`. Raises ValueError for an impossible learning rate or length.
    """
    txs = transforms(optimisers, epochs, steps_per_epoch)
    loss = terms.cross_entropy()
    return search.bilevel(
        net, relax.softmax(), loss, txs, constraints=constraints, hypergrad=hypergrad
    )


METHOD = entry.single_stage("DARTS", darts, relaxation=lambda space: relax.softmax())
