"""DARTS-: a skip beside every edge, faded out. https://arxiv.org/abs/2009.01027"""

import optax

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers
from jaxnas.spaces import choices as spaces


def darts_minus(
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
    """DARTS, first order, on a supernet of `choices.with_auxiliary_skip(space)`.

    The added skip's gate falls in a line from 1 towards 0, epoch by epoch
    (Meituan-AutoML/DARTS- src/search); it has no logit and is never selected. Raises ValueError
    for another supernet, and for an impossible learning rate or length.
    """
    lasts = {row[-1] for choice in net.space.values() for row in choice.candidates}
    if lasts != {spaces.AUXILIARY_SKIP}:
        raise ValueError(
            f"DARTS- needs the candidate {spaces.AUXILIARY_SKIP!r} last on every edge: "
            "make the supernet of space.with_auxiliary_skip(...)."
        )
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    fading = optax.linear_schedule(1.0, 0.0, epochs)
    return search.bilevel(
        net,
        relax.with_auxiliary(relax.softmax(), schedules.per_epoch(fading, steps_per_epoch)),
        terms.cross_entropy(),
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
        ),
    )
