"""DrNAS: gates drawn from a Dirichlet distribution. https://arxiv.org/abs/2006.10355"""

from typing import Literal

from jaxnas.core import schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import constraints, terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import optimisers


def dr_nas(
    net: Supernet,
    *,
    epochs: int = 100,
    steps_per_epoch: int,
    penalty: constraints.Penalty | None = None,
    regulariser: Literal["l2", "kl"] = "l2",
    regulariser_weight: float = 1e-3,
    learning_rate: float = 0.025,
    min_learning_rate: float = 0.001,
    weight_decay: float = 3e-4,
    clip_norm: float = 5.0,
    arch_learning_rate: float = 3e-4,
) -> Search:
    """DARTS over Dirichlet draws, held near the uniform distribution by a regulariser.

    "l2" decays the logits (coupled, within Adam); "kl" adds the divergence from the uniform
    Dirichlet to the validation loss. Settings as in xiangning-chen/DrNAS 201-space/train_search.py.
    `penalty` is added to the validation loss.
    Raises ValueError for an unknown regulariser, one without weight, and an impossible learning
    rate or length.
    """
    if regulariser not in ("l2", "kl"):
        raise ValueError(f"DrNAS is regularised by 'l2' or 'kl', not {regulariser!r}.")
    if not regulariser_weight > 0:
        raise ValueError(
            f"A regulariser of weight {regulariser_weight} has no effect: make it positive."
        )
    rate = schedules.cosine_by_epoch(
        learning_rate, min_learning_rate, epochs=epochs, steps_per_epoch=steps_per_epoch
    )
    by_kl = regulariser == "kl"
    divergence = terms.weighted(
        terms.dirichlet_divergence(relax.concentration), lambda step: regulariser_weight
    )
    relaxation, loss = relax.dirichlet(), terms.cross_entropy()
    judged = terms.total(loss=loss, kl=divergence) if by_kl else loss
    outer = constraints.outer(judged, penalty, relaxation)
    return search.bilevel(
        net,
        relaxation,
        loss,
        outer_objective=judged if by_kl and outer is None else outer,
        **optimisers.adam_and_sgd(
            rate,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            arch_learning_rate=arch_learning_rate,
            arch_weight_decay=0.0 if by_kl else regulariser_weight,
        ),
    )
