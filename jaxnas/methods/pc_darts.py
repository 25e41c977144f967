"""PC-DARTS: partial channel connections. https://arxiv.org/abs/1907.05737"""

from jaxnas.core import hypergrad as hypergradients
from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import constraints, terms
from jaxnas.core.types import Hypergradient, Search, Supernet
from jaxnas.methods import optimisers

PARTIAL = 4  # of the supernet, which sees the first quarter of the channels


def pc_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    hypergrad: Hypergradient | None = None,
    penalty: constraints.Penalty | None = None,
    warm_up: int = 15,
    learning_rate: float = 0.1,
    min_learning_rate: float = 0.0,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 6e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS with normalised edges, on a supernet made with `partial=4`.

    First order unless `hypergrad` is given; `penalty` is added to the validation loss. The
    architecture rests for the first `warm_up` epochs. Settings as in
    yuhuixu1993/PC-DARTS train_search.py (CIFAR-10, batches of 256).
    Raises ValueError for an impossible learning rate or length, and for a warm-up that leaves
    no epoch.
    """
    schedules.check_warm_up(warm_up, epochs)
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    rule = hypergrad or hypergradients.first_order()
    relaxation = relax.edge_normalised(net.space, relax.softmax())
    loss = terms.cross_entropy()
    return search.bilevel(
        net,
        relaxation,
        loss,
        outer_objective=constraints.outer(loss, penalty, relaxation),
        hypergrad=hypergradients.after(warm_up * steps_per_epoch, rule) if warm_up else rule,
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
        ),
    )
