"""beta-DARTS: a decay of the softmax's input. https://arxiv.org/abs/2203.01665"""

import optax

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def beta_darts(
    net: Supernet,
    *,
    epochs: int = 100,
    steps_per_epoch: int,
    decay: float = 50.0,
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """DARTS, first order, whose validation loss has the mean log-sum-exp of the logits added.

    Its weight grows in a line from 0 towards `decay`, epoch by epoch, as 50 epoch / 100 does in
    Sunshine-Ye/Beta-DARTS nasbench201/train_search.py. Raises ValueError for a decay that is not
    positive and an impossible learning rate or length.
    """
    if not decay > 0:
        raise ValueError(f"A decay of {decay} has no effect: make it positive.")
    growing = schedules.per_epoch(optax.linear_schedule(0.0, decay, epochs), steps_per_epoch)
    decayed = terms.weighted(terms.mean_logsumexp(), growing)
    return search.bilevel(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch),
        outer_objective=terms.total(loss=terms.cross_entropy(), decay=decayed),
    )


METHOD = entry.single_stage(
    "beta-DARTS: logits held together", beta_darts, relaxation=lambda space: relax.softmax()
)
