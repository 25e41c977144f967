"""DARTS: differentiable architecture search. https://arxiv.org/abs/1806.09055"""

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import constraints, terms
from jaxnas.core.types import Hypergradient, Search, Supernet
from jaxnas.methods import optimisers


def darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    penalty: constraints.Penalty | None = None,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS with the settings of the paper's CIFAR-10 search; `hypergrad` picks the order.

    Settings as in quark0/darts cnn/train_search.py: the architecture's decay is coupled
    (added to the gradient before Adam), the cosine steps once an epoch. First order unless
    `hypergrad` is given; `penalty` is added to the validation loss. Raises ValueError
    for an impossible learning rate or length.
    """
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    relaxation, loss = relax.softmax(), terms.cross_entropy()
    return search.bilevel(
        net,
        relaxation,
        loss,
        outer_objective=constraints.outer(loss, penalty, relaxation),
        hypergrad=hypergrad,
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
        ),
    )
