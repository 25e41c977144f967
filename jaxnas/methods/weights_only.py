"""Training of a supernet's weights only, with any relaxation: a part of other methods."""

import optax

from jaxnas.core import search
from jaxnas.core.objectives import terms
from jaxnas.core.types import Relaxation, Search, Supernet
from jaxnas.methods.optimisers import WEIGHTS_ONLY, Optimisers, clipped_sgd


def weights_only(
    net: Supernet,
    relaxation: Relaxation,
    *,
    epochs: int,
    steps_per_epoch: int,
    optimisers: Optimisers = WEIGHTS_ONLY,
    rate: optax.Schedule | None = None,
    nesterov: bool = False,
) -> Search:
    """DARTS's weight optimiser on the training half; the architecture is constant.

    The validation batch is not used; `rate` replaces the learning rate of `optimisers`.
    Raises ValueError for an impossible learning rate or length.
    """
    weight_tx = clipped_sgd(optimisers, epochs, steps_per_epoch, rate=rate, nesterov=nesterov)
    tx = search.joint_tx(optax.set_to_zero(), weight_tx)
    return search.single_level(net, relaxation, terms.cross_entropy(), tx=tx)
