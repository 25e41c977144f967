"""FairDARTS: candidates that do not compete. https://arxiv.org/abs/1911.12126"""

import functools
from collections.abc import Callable

from jaxnas.core import search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.stages import Program
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.entry import Context, Settings
from jaxnas.methods.optimisers import Optimisers, transforms
from jaxnas.spaces import discretise
from jaxnas.spaces.search_space import SearchSpace

THRESHOLD, QUICK_THRESHOLD = 0.85, 0.5  # the paper's, and that of a short search


def fair_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    zero_one_weight: float = 10.0,
    optimisers: Optimisers = Optimisers(learning_rate=0.005, arch_learning_rate=3e-3),
) -> Search:
    """DARTS over sigmoid gates, which the validation loss also drives to 0 or 1.

    Made for spaces without `none` (`choices.darts_without_none`) and batches of 128; select with
    `discretise.above_threshold`. Settings as in xiaomi-automl/FairDARTS fairdarts/train_search.py.
    Raises ValueError for a weight that is not positive and an impossible learning rate or length.
    """
    if not zero_one_weight > 0:
        raise ValueError(f"A zero-one loss of weight {zero_one_weight} drives nothing to 0 or 1.")
    zero_one = terms.weighted(terms.zero_one(), lambda step: zero_one_weight)
    return search.bilevel(
        net,
        relax.sigmoid(),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch, arch_momentum=0.9),
        outer_objective=terms.total(loss=terms.cross_entropy(), zero_one=zero_one),
    )


def _program(context: Context, settings: Settings) -> Program:
    threshold = settings["threshold"]
    if context.space.edges_per_node is None and threshold not in (THRESHOLD, QUICK_THRESHOLD):
        raise ValueError(
            f"The setting threshold has no effect on the space {context.space.name}, whose edges "
            "all keep their strongest candidate: leave it out."
        )
    return _SEARCH.program(context, {k: v for k, v in settings.items() if k != "threshold"})


def _discretise(space: SearchSpace, settings: Settings) -> Callable | None:
    if space.edges_per_node is None:
        return None
    return functools.partial(
        discretise.above_threshold, threshold=settings["threshold"], name=space.genotype_space
    )


_SEARCH = entry.single_stage("FairDARTS: every candidate for itself, by sigmoids", fair_darts)
METHOD = _SEARCH._replace(
    program=_program,
    defaults=_SEARCH.defaults | {"threshold": THRESHOLD},
    quick={"threshold": QUICK_THRESHOLD, "arch_learning_rate": 0.03},
    needs={"cells"},
    discretise=_discretise,
)
