"""FairDARTS: candidates that do not compete. https://arxiv.org/abs/1911.12126"""

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers


def fair_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    zero_one_weight: float = 10.0,
    learning_rate: float = 0.005,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-3,
    arch_weight_decay: float = 1e-3,
) -> Search:
    """DARTS over sigmoid gates, which the validation loss also drives to 0 or 1.

    Made for spaces without `none` (`choices.darts_without_none`) and batches of 128; select with
    `discretise.above_threshold`. Settings as in xiaomi-automl/FairDARTS fairdarts/train_search.py.
    Raises ValueError for a weight that is not positive and an impossible learning rate or length.
    """
    if not zero_one_weight > 0:
        raise ValueError(f"A zero-one loss of weight {zero_one_weight} drives nothing to 0 or 1.")
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    decided = terms.weighted(terms.zero_one(), lambda step: zero_one_weight)
    return search.bilevel(
        net,
        relax.sigmoid(),
        terms.cross_entropy(),
        outer_objective=terms.total(loss=terms.cross_entropy(), zero_one=decided),
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=arch_weight_decay,
            arch_momentum=0.9,
        ),
    )
