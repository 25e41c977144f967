"""iDARTS: the implicit gradient by a Neumann series. https://arxiv.org/abs/2106.10784"""

from jaxnas.core import hypergrad, schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers


def idarts(
    net: Supernet,
    *,
    epochs: int = 30,
    steps_per_epoch: int,
    series: int = 2,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS whose architecture feels the weights through `series` terms, at the learning rate.

    The rate must stay below 2 / (the largest eigenvalue of the training loss's Hessian).
    `series`, epochs and batches of 64 as in MiaoZhang0525/iDARTS, whose mixed derivative is a
    finite difference and ours exact; the optimisers are DARTS's. Raises ValueError for a series
    without terms (that is DARTS's look-ahead), an impossible learning rate or length, and a
    learning rate that falls to 0.
    """
    if series < 1:
        raise ValueError(f"A series of {series} terms is DARTS's look-ahead: choose one or more.")
    if not min_learning_rate > 0:
        raise ValueError("The series is scaled by the learning rate, which must stay above 0.")
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    return search.bilevel(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        hypergrad=hypergrad.neumann(series, rate),
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
        ),
    )
