"""Single-level search: weights and architecture learn from the same batch, together.

The simplest rival of bilevel search. The optimisers, those of DARTS, are our own choice.
"""

import optax

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet


def single_level(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS's optimisers on one loss, without a validation half.

    Raises ValueError for an impossible learning rate or length.
    """
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    arch_tx = optax.chain(
        optax.add_decayed_weights(arch_weight_decay), optax.adam(arch_learning_rate, b1=0.5)
    )
    weight_tx = optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.add_decayed_weights(weight_decay),
        optax.sgd(rate, momentum=0.9),
    )
    return search.single_level(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        tx=search.joint_tx(arch_tx, weight_tx),
    )
