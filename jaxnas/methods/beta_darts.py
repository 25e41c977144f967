"""beta-DARTS: a decay of the softmax's input. https://arxiv.org/abs/2203.01665"""

import optax

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers


def beta_darts(
    net: Supernet,
    *,
    epochs: int = 100,
    steps_per_epoch: int,
    decay: float = 50.0,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS, first order, whose validation loss has the mean log-sum-exp of the logits added.

    Its weight grows in a line from 0 towards `decay`, epoch by epoch, as 50 epoch / 100 does in
    Sunshine-Ye/Beta-DARTS nasbench201/train_search.py. Raises ValueError for a decay that is not
    positive and an impossible learning rate or length.
    """
    if not decay > 0:
        raise ValueError(f"A decay of {decay} has no effect: make it positive.")
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    growing = schedules.per_epoch(optax.linear_schedule(0.0, decay, epochs), steps_per_epoch)
    even = terms.weighted(terms.mean_logsumexp(), growing)
    return search.bilevel(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        outer_objective=terms.total(loss=terms.cross_entropy(), decay=even),
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
        ),
    )
