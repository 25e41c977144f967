"""SD-DARTS: self-distillation from earlier supernets. https://arxiv.org/abs/2302.05629"""

from typing import Literal

from jaxnas.core import search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import distillation, terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def sd_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    teachers: int = 3,
    epochs_between_teachers: int = 1,
    distillation_weight: float = 0.3,
    distillation_temperature: float = 5.0,
    vote: Literal["soft", "hard"] = "soft",
    warm_up: int = 5,
    taught: Literal["weights", "both"] = "weights",
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """DARTS, first order, whose training loss is distilled from earlier supernets as well.

    The paper's constants are not public: number and spacing of teachers, vote and what is taught
    are ours, weight, temperature and warm-up (in epochs) those of SAF (AngusDujw/SAF), the rest
    DARTS's. `taught` "both" distils the validation loss too. See
    `distillation.self_distillation`. Raises ValueError for settings out of range, and where the
    search ends before it is taught.
    """
    if taught not in ("weights", "both"):
        raise ValueError(f"Teachers teach the 'weights' or 'both', not {taught!r}.")
    begin = max(warm_up, epochs_between_teachers)
    if not 0 <= warm_up <= begin < epochs:
        raise ValueError(
            f"A search of {epochs} epochs ends before it is taught, from epoch {begin} on: "
            "choose `warm_up` and `epochs_between_teachers` below `epochs`."
        )
    lessons = distillation.self_distillation(
        net,
        relax.softmax(),
        every=epochs_between_teachers * steps_per_epoch,
        weight=distillation_weight,
        temperature=distillation_temperature,
        teachers=teachers,
        vote=vote,
        start=warm_up * steps_per_epoch,
    )
    return search.bilevel(
        net,
        relax.softmax(),
        terms.total(loss=terms.cross_entropy(), lessons=lessons),
        transforms(optimisers, epochs, steps_per_epoch),
        outer_objective=terms.cross_entropy() if taught == "weights" else None,
    )


METHOD = entry.single_stage(
    "SD-DARTS: earlier supernets teach",
    sd_darts,
    quick={"warm_up": 2},
    relaxation=lambda space: relax.softmax(),
)
