"""iDARTS: the implicit gradient by a Neumann series. https://arxiv.org/abs/2106.10784"""

from jaxnas.core import hypergrad, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, learning_rate, transforms


def idarts(
    net: Supernet,
    *,
    epochs: int = 30,
    steps_per_epoch: int,
    series: int = 2,
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """DARTS with the implicit hypergradient of `series` terms, scaled by the learning rate.

    The rate must stay below 2 / (the largest eigenvalue of the training loss's Hessian).
    `series`, epochs and batches of 64 as in MiaoZhang0525/iDARTS, whose mixed derivative is a
    finite difference and ours exact; the optimisers are DARTS's. Raises ValueError for a series
    without terms (that is DARTS's look-ahead), an impossible learning rate or length, and a
    learning rate that falls to 0.
    """
    if series < 1:
        raise ValueError(f"A series of {series} terms is DARTS's look-ahead: choose one or more.")
    if not optimisers.min_learning_rate > 0:
        raise ValueError("The series is scaled by the learning rate, which must stay above 0.")
    rate = learning_rate(optimisers, epochs, steps_per_epoch)
    return search.bilevel(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch, rate=rate),
        hypergrad=hypergrad.neumann(series, rate),
    )


METHOD = entry.single_stage(
    "iDARTS: implicit gradient, Neumann series", idarts, relaxation=lambda space: relax.softmax()
)
