"""Perturbations of the gates for the weight step: (loss, gates) -> nearby gates.

For gates whose rows sum to one. SmoothDARTS, https://arxiv.org/abs/2002.05283, perturbs the
softmax and not its logits, and only where the weights learn. Constants as in
xiangning-chen/SmoothDARTS attacker/perturb.py.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxnas.core.types import Gates, Key, Scalar

Perturb = Callable[..., Gates]  # (loss, gates, *, key, step)
Loss = Callable[[Gates], Scalar]


def random(radius: optax.Schedule) -> Perturb:
    """Adds uniform noise within `radius(step)`, then projects. SmoothDARTS-RS, eq. 3."""

    def perturb(loss: Loss, gates: Gates, *, key: Key, step: Scalar) -> Gates:
        return project(_with_noise(gates, key, radius(step)))

    return perturb


def adversarial(radius: optax.Schedule, steps: int = 7) -> Perturb:
    """Maximises the training loss within `radius(step)` of the gates. SmoothDARTS-ADV, eq. 4.

    `steps` signed gradient steps of 2 radius / steps from a random start; the gates are unchanged
    if the loss did not increase. The loss is that of the weight step, with batch statistics, where
    the paper's code takes running ones; the attack updates none of them.
    Each step costs one gradient. Raises ValueError unless steps >= 1.
    """
    if steps < 1:
        raise ValueError(f"An attack takes one step or more, not {steps}.")

    def perturb(loss: Loss, gates: Gates, *, key: Key, step: Scalar) -> Gates:
        reach = radius(step)

        def within(candidate: Gates) -> Gates:
            clip = lambda c, g: jnp.clip(c, g - reach, g + reach)
            return project(jax.tree.map(clip, candidate, gates))

        def ascend(_, point: Gates) -> Gates:
            gradient = jax.grad(loss)(point)
            stride = 2 * reach / steps
            return within(jax.tree.map(lambda p, g: p + stride * jnp.sign(g), point, gradient))

        start = project(_with_noise(gates, key, reach))
        end = jax.lax.fori_loop(0, steps, ascend, start)
        has_risen = loss(end) > loss(gates)
        return jax.tree.map(lambda e, g: jnp.where(has_risen, e, g), end, gates)

    return perturb


def project(gates: Gates) -> Gates:
    """Rows mapped to the simplex: clipped to [0, 1], divided by their sums.

    A row without a positive entry becomes one-hot at its largest.
    """

    def of_choice(rows: jax.Array) -> jax.Array:
        clipped = jnp.clip(rows, 0.0, 1.0)
        total = clipped.sum(-1, keepdims=True)
        largest = jax.nn.one_hot(jnp.argmax(rows, -1), rows.shape[-1], dtype=rows.dtype)
        return jnp.where(total > 0, clipped / jnp.where(total > 0, total, 1.0), largest)

    return jax.tree.map(of_choice, gates)


def _with_noise(gates: Gates, key: Key, radius: ArrayLike) -> Gates:
    noise = optax.tree.random_like(key, gates, jax.random.uniform)
    return jax.tree.map(lambda g, u: g + radius * (2 * u - 1), gates, noise)
