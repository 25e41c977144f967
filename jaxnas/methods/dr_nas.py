"""DrNAS: gates sampled from a Dirichlet distribution. https://arxiv.org/abs/2006.10355"""

from typing import Literal

from jaxnas.core import search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Constraints, Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def dr_nas(
    net: Supernet,
    *,
    epochs: int = 100,
    steps_per_epoch: int,
    constraints: Constraints = (),
    regulariser: Literal["l2", "kl"] = "l2",
    regulariser_weight: float = 1e-3,
    optimisers: Optimisers = Optimisers(arch_weight_decay=None),
) -> Search:
    """DARTS over Dirichlet samples, with a regulariser towards the uniform distribution.

    "l2" decays the logits (coupled, within Adam); "kl" adds the divergence from the uniform
    Dirichlet to the validation loss. Settings as in xiangning-chen/DrNAS 201-space/train_search.py.
    Raises ValueError for an unknown regulariser, one without weight, and an impossible learning
    rate or length.
    """
    if regulariser not in ("l2", "kl"):
        raise ValueError(f"DrNAS is regularised by 'l2' or 'kl', not {regulariser!r}.")
    if not regulariser_weight > 0:
        raise ValueError(
            f"A regulariser of weight {regulariser_weight} has no effect: make it positive."
        )
    by_kl = regulariser == "kl"
    divergence = terms.weighted(
        terms.dirichlet_divergence(relax.concentration), lambda step: regulariser_weight
    )
    with_kl = terms.total(loss=terms.cross_entropy(), kl=divergence)
    optimisers = optimisers._replace(arch_weight_decay=0.0 if by_kl else regulariser_weight)
    return search.bilevel(
        net,
        relax.dirichlet(),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch),
        outer_objective=with_kl if by_kl else None,
        constraints=constraints,
    )


METHOD = entry.single_stage("DrNAS: Dirichlet gates", dr_nas)
