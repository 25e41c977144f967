"""Training of a supernet's weights alone, whatever opens its candidates."""

import optax

from jaxnas.core import schedules, search
from jaxnas.core.objectives import terms
from jaxnas.core.types import Relaxation, Search, Supernet


def weights_only(
    net: Supernet,
    relaxation: Relaxation,
    *,
    epochs: int,
    steps_per_epoch: int,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    nesterov: bool = False,
) -> Search:
    """DARTS's weight optimiser on the training half; the architecture stays as it began.

    The validation batch is not looked at. Raises ValueError for an impossible learning rate or
    length.
    """
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    weight_tx = optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.add_decayed_weights(weight_decay),
        optax.sgd(rate, momentum=0.9, nesterov=nesterov),
    )
    return search.single_level(
        net,
        relaxation,
        terms.cross_entropy(),
        tx=search.joint_tx(optax.set_to_zero(), weight_tx),
    )
