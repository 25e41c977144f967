"""Schedules: values by step or by epoch, where optax has no such schedule."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxnas.core.types import Scalar


def cosine_by_epoch(
    start: float, end: float, *, epochs: int, steps_per_epoch: int
) -> optax.Schedule:
    """step -> a half cosine from `start` towards `end` over `epochs`, constant within each.

    Raises ValueError unless 0 <= end <= start, start > 0, and both counts are positive.
    """
    if not (start > 0 and 0 <= end <= start):
        raise ValueError(
            f"A learning rate falls from {start} to {end}: need 0 <= end <= start > 0."
        )
    if epochs < 1:
        raise ValueError(f"A schedule has at least one epoch, not {epochs}.")
    return per_epoch(optax.cosine_decay_schedule(start, epochs, end / start), steps_per_epoch)


def per_epoch(schedule: optax.Schedule, steps_per_epoch: int) -> optax.Schedule:
    """`schedule` of the epoch, constant within it. Raises ValueError for an empty epoch."""
    if steps_per_epoch < 1:
        raise ValueError(f"An epoch has at least one step, not {steps_per_epoch}.")
    return lambda step: schedule(step // steps_per_epoch)  # pyright: ignore[reportOperatorIssue]


def cosine_power(
    start: float, end: float, *, epochs: int, power: float, warm_up: int = 0
) -> optax.Schedule:
    """epoch -> cosine power annealing from `start` at epoch 0 to `end` at the last one.

    With `c` the half cosine from 1 to 0, `power ** (c + 1)` rescaled to the range; at power 1 the
    plain half cosine, rescaled too. The first `warm_up` epochs rise in a line from near `end`,
    the next is `start`.
    sharpDARTS, https://arxiv.org/abs/1903.09900, ahundt/sharpDARTS cnn/cosine_power_annealing.py
    (whose epochs count from 1; ours, as everywhere here, from 0). Raises ValueError unless
    0 <= end < start, power >= 1 and 0 <= warm_up <= epochs - 2.
    """
    if not 0 <= end < start:
        raise ValueError(
            f"A learning rate falls from {start} to {end}: need 0 <= end < start for an annealing."
        )
    if not power >= 1:
        raise ValueError(f"The power of the annealing is {power}: choose power >= 1.")
    if not 0 <= warm_up <= epochs - 2:
        raise ValueError(
            f"A warm-up of {warm_up} of {epochs} epochs leaves no two to anneal: "
            "choose 0 <= warm_up <= epochs - 2."
        )
    length = epochs - warm_up

    def height(cosine):
        return cosine if power == 1 else power ** (cosine + 1)

    # The code rescales by the highest value, which with a warm-up is the cosine's maximum.
    highest = 1.0 if warm_up else (1 + math.cos(math.pi / length)) / 2
    low, high = height(0.0), height(highest)

    def value(epoch):
        cosine = (1 + jnp.cos(math.pi * (epoch + 1 - warm_up) / length)) / 2
        annealed = (height(cosine) - low) / (high - low)
        rising = (epoch + 1) / (warm_up + 1)
        rises = (epoch <= warm_up) & (warm_up > 0)
        return end + (start - end) * jnp.where(rises, rising, annealed)

    return value


def linear_decay(start: float, end: float, epochs: int) -> optax.Schedule:
    """epoch -> a line from `start` at epoch 0 to `end` at the last of `epochs`, for temperatures.

    Raises ValueError unless 0 < end <= start and epochs >= 2.
    """
    if not 0 < end <= start:
        raise ValueError(f"A temperature falls from {start} to {end}: need 0 < end <= start.")
    if epochs < 2:
        raise ValueError(f"A temperature falls over two epochs or more, not {epochs}.")
    return optax.linear_schedule(start, end, epochs - 1)


def exponential_decay(temperature: float, cooling: float) -> optax.Schedule:
    """epoch -> `temperature * cooling^epoch`.

    Raises ValueError unless temperature > 0 and 0 < cooling < 1.
    """
    if not (temperature > 0 and 0 < cooling < 1):
        raise ValueError(
            f"A temperature of {temperature} cannot cool by a factor of {cooling}: "
            "choose a temperature above 0 and a factor between 0 and 1."
        )
    return optax.exponential_decay(temperature, 1, cooling)


def check_warm_up(warm_up: int, epochs: int, name: str = "warm_up") -> None:
    """Raises ValueError unless the warm-up is shorter than all epochs.

    `name` is that of the setting.
    """
    if not 0 <= warm_up < epochs:
        raise ValueError(
            f"A {name.replace('_', '-')} of {warm_up} epochs leaves none of {epochs} to the "
            f"architecture: choose 0 <= {name} < epochs."
        )


def arch_active(
    *, epochs: int, warm_up: int, steps_per_epoch: int, period: int
) -> Callable[[Scalar], jax.Array]:
    """step -> whether the architecture is updated: every `period`-th step after `warm_up` epochs.

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
