"""SmoothDARTS: weights that learn at perturbed gates. https://arxiv.org/abs/2002.05283"""

from typing import Literal

import optax

from jaxnas.core import schedules, search
from jaxnas.core.gates import perturb, relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Search, Supernet
from jaxnas.methods import entry
from jaxnas.methods.optimisers import Optimisers, transforms


def smooth_darts(
    net: Supernet,
    *,
    epochs: int = 50,
    steps_per_epoch: int,
    attack: Literal["random", "adversarial"] = "adversarial",
    attack_steps: int | None = None,
    radius: float = 0.03,
    max_radius: float = 0.3,
    optimisers: Optimisers = Optimisers(),
) -> Search:
    """DARTS, first order, whose weights learn at gates perturbed by noise (RS) or an attack (ADV).

    A gate is changed by up to `radius`, which grows in a line towards `max_radius` over the epochs;
    an attack takes `attack_steps` gradients (default 7). Settings as in xiangning-chen/SmoothDARTS
    sota/cnn/train_search.py; attacks use statistics of the batch, see `perturb.adversarial`.
    Raises ValueError for an unknown attack, steps of noise, impossible radii, learning rate or
    length.
    """
    if attack not in ("random", "adversarial"):
        raise ValueError(f"Gates are perturbed 'random' or 'adversarial', not {attack!r}.")
    if attack == "random" and attack_steps is not None:
        raise ValueError("Random noise takes no steps: leave `attack_steps` out.")
    if not 0 <= radius <= max_radius <= 1 or not max_radius > 0:
        raise ValueError(
            f"Gates are moved by {radius} to {max_radius}: "
            "need 0 <= radius <= max_radius <= 1 and max_radius > 0."
        )
    reach = schedules.per_epoch(optax.linear_schedule(radius, max_radius, epochs), steps_per_epoch)
    if attack == "random":
        perturbation = perturb.random(reach)
    else:
        perturbation = perturb.adversarial(reach, 7 if attack_steps is None else attack_steps)
    return search.bilevel(
        net,
        relax.softmax(),
        terms.cross_entropy(),
        transforms(optimisers, epochs, steps_per_epoch),
        perturb=perturbation,
    )


METHOD = entry.single_stage(
    "SmoothDARTS: weights learn with perturbed gates",
    smooth_darts,
    relaxation=lambda space: relax.softmax(),
)
