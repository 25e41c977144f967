"""epoch -> a value, where optax has no such schedule."""

import math

import jax.numpy as jnp
import optax


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

    # The code rescales by the highest value it sees, which with a warm-up is the cosine's top.
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
    """epoch -> a line from `start` at epoch 0 to `end` at the last of `epochs`.

    For temperatures. Raises ValueError unless 0 < end <= start and epochs >= 2.
    """
    if not 0 < end <= start:
        raise ValueError(f"A temperature falls from {start} to {end}: need 0 < end <= start.")
    if epochs < 2:
        raise ValueError(f"A temperature falls over two epochs or more, not {epochs}.")
    return optax.linear_schedule(start, end, epochs - 1)
