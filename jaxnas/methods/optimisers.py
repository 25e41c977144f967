"""The optimisers of DARTS, shared by most methods: Adam for the architecture, SGD for weights."""

from typing import NamedTuple

import optax

from jaxnas.core import schedules
from jaxnas.core.search import Transforms


class Optimisers(NamedTuple):
    """Settings of both optimisers; None: the method has no such setting.

    Both decays are coupled: added to the gradient, before Adam too. quark0/darts
    cnn/train_search.py.
    """

    learning_rate: float = 0.025  # of the weights at first
    min_learning_rate: float = 0.001  # that a cosine over the epochs falls to
    weight_decay: float = 3e-4
    clip_norm: float = 5.0  # of the gradient of the weights
    arch_learning_rate: float | None = 3e-4
    arch_weight_decay: float | None = 1e-3


# For methods that train the weights alone.
WEIGHTS_ONLY = Optimisers(arch_learning_rate=None, arch_weight_decay=None)


def learning_rate(optimisers: Optimisers, epochs: int, steps_per_epoch: int) -> optax.Schedule:
    """step -> the learning rate of the weights. Raises ValueError for an impossible one."""
    return schedules.cosine_by_epoch(
        optimisers.learning_rate,
        optimisers.min_learning_rate,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
    )


def transforms(
    optimisers: Optimisers,
    epochs: int,
    steps_per_epoch: int,
    *,
    rate: optax.Schedule | None = None,
    arch_momentum: float = 0.5,
    nesterov: bool = False,
) -> Transforms:
    """The optimisers for `search.bilevel`.

    `rate` replaces `learning_rate`. Raises ValueError for an invalid learning rate or length.
    """
    rate = rate or learning_rate(optimisers, epochs, steps_per_epoch)
    arch_rate, arch_decay = optimisers.arch_learning_rate, optimisers.arch_weight_decay
    assert arch_rate is not None and arch_decay is not None, "for the weights alone"
    return Transforms(
        arch_tx=optax.chain(
            optax.add_decayed_weights(arch_decay),
            optax.adam(arch_rate, b1=arch_momentum),
        ),
        weight_tx=optax.chain(
            optax.add_decayed_weights(optimisers.weight_decay),
            optax.sgd(rate, momentum=0.9, nesterov=nesterov),
        ),
        clip_tx=optax.clip_by_global_norm(optimisers.clip_norm),
    )


def warmed_up(
    optimisers: Optimisers, epochs: int, steps_per_epoch: int, warm_up: int
) -> optax.Schedule:
    """step -> the learning rate: `warm_up` epochs rise in a line from 0, a half cosine falls after.

    Without a warm-up it is `learning_rate`, constant within each epoch. Raises ValueError for an
    impossible rate, and for a warm-up that leaves no epoch.
    """
    if warm_up == 0:
        return learning_rate(optimisers, epochs, steps_per_epoch)
    schedules.check_warm_up(warm_up, epochs)
    learning_rate(optimisers, epochs, steps_per_epoch)  # refuses an impossible one
    return optax.warmup_cosine_decay_schedule(
        0.0,
        optimisers.learning_rate,
        warm_up * steps_per_epoch,
        epochs * steps_per_epoch,
        optimisers.min_learning_rate,
    )


def clipped_sgd(
    optimisers: Optimisers,
    epochs: int,
    steps_per_epoch: int,
    *,
    rate: optax.Schedule | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """The optimiser of the weights with clipping, for methods without a look-ahead.

    `rate` replaces `learning_rate`. Raises ValueError as `transforms`.
    """
    rate = rate or learning_rate(optimisers, epochs, steps_per_epoch)
    return optax.chain(
        optax.clip_by_global_norm(optimisers.clip_norm),
        optax.add_decayed_weights(optimisers.weight_decay),
        optax.sgd(rate, momentum=0.9, nesterov=nesterov),
    )
