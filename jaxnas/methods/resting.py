"""When the architecture rests: during the first epochs, and between its steps."""

from collections.abc import Callable

import jax

from jaxnas.core.types import Scalar


def arch_active(
    *, epochs: int, warm_up: int, steps_per_epoch: int, period: int
) -> Callable[[Scalar], jax.Array]:
    """step -> whether the architecture moves: once in `period` steps after `warm_up` epochs.

    Raises ValueError unless 0 <= warm_up < epochs, period >= 1 and steps_per_epoch >= 1, and for a
    period that leaves no step.
    """
    if not (0 <= warm_up < epochs and steps_per_epoch >= 1):
        raise ValueError(
            f"Of {epochs} epochs of {steps_per_epoch} steps, {warm_up} are for the weights alone: "
            "choose 0 <= warm_up < epochs, and one step an epoch or more."
        )
    if not 1 <= period <= (epochs - warm_up) * steps_per_epoch:
        raise ValueError(
            f"The architecture moves once in {period} steps, of which there are "
            f"{(epochs - warm_up) * steps_per_epoch} after the warm-up: choose 1 to as many."
        )
    start = warm_up * steps_per_epoch
    return lambda step: (step >= start) & ((step - start) % period == 0)
