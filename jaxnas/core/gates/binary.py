"""Binary gates: one sampled candidate is open, and the gradient is that of its probability.

ProxylessNAS, https://arxiv.org/abs/1812.00332, mit-han-lab/proxylessnas search/modules/mix_op.py.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxnas.core.gates import relax
from jaxnas.core.types import Arch, Gates, Key, Relaxation, Weights

# The gate of the closed candidate that `two_path` sampled.
COMPANION = 1e-9


def binary(scale: float = 1e-3) -> Relaxation:
    """Gates are a one-hot sample of the softmax of the logits, with the softmax's gradient.

    d loss/d logit_i = sum_j d loss/d gate_j p_j (delta_ij - p_i). Expected gates are the softmax.
    ProxylessNAS, eqs. 3 and 4, https://arxiv.org/abs/1812.00332
    """

    def sample(logits: jax.Array, noise: jax.Array) -> jax.Array:
        probabilities = jax.nn.softmax(logits)
        return _with_gradient(_argmax(logits, noise), probabilities)

    return _sampled(sample, scale)


def two_path(scale: float = 1e-3, *, unbiased: bool = False) -> Relaxation:
    """Two candidates are sampled, without replacement; one is open, by the softmax over the two.

    The other one's gate is `COMPANION`, practically zero, which marks it for a gradient in the
    supernet. Only the two logits get a gradient, that of the softmax over the two. The mean over
    pairs is a multiple of `binary`'s if all probabilities are equal, N / (2 N - 2) of it for N
    candidates, and biased otherwise. With `unbiased` (ours) a pair's gradient is divided by its
    probability, so that the mean is `binary`'s for every loss linear in the gates.
    ProxylessNAS, section 3.2; mit-han-lab/proxylessnas search/modules/mix_op.py.
    """

    def sample(logits: jax.Array, noise: jax.Array) -> jax.Array:
        perturbed = jax.nn.log_softmax(logits) + noise[..., 0]
        # The two largest of perturbed logits are a sample without replacement.
        _, pair = jax.lax.top_k(perturbed, 2)
        is_sampled = jax.nn.one_hot(pair, logits.shape[-1], dtype=logits.dtype).sum(-2)
        masked = jnp.where(is_sampled > 0, logits, -jnp.inf)
        probabilities = jax.nn.softmax(masked)
        hard = _argmax(masked, noise[..., 1])
        companion = COMPANION * (is_sampled - hard)
        scale = _inverse_probability(logits, pair)[..., None] if unbiased else 1.0
        return _with_gradient(hard + companion, jax.lax.stop_gradient(scale) * probabilities)

    return _sampled(sample, scale, 2)


def _inverse_probability(logits: jax.Array, pair: jax.Array) -> jax.Array:
    """The weight that makes the mean over pairs unbiased: p_i p_j / (P(pair) * q_i q_j)."""
    log_p = jax.nn.log_softmax(logits)
    first, second = (jnp.take_along_axis(log_p, pair[..., n : n + 1], -1)[..., 0] for n in (0, 1))
    p, q = jnp.exp(first), jnp.exp(second)
    return (p + q) ** 2 / (p * q * (1 / -jnp.expm1(first) + 1 / -jnp.expm1(second)))


def _argmax(logits: jax.Array, noise: jax.Array) -> jax.Array:
    best = jnp.argmax(logits + noise, -1)
    return jax.nn.one_hot(best, logits.shape[-1], dtype=logits.dtype)


def _with_gradient(value: jax.Array, surrogate: jax.Array) -> jax.Array:
    """`value`, with the gradient of `surrogate`."""
    return jax.lax.stop_gradient(value) + (surrogate - jax.lax.stop_gradient(surrogate))


def _sampled(
    sample: Callable[..., jax.Array], scale: float, noises: int | None = None
) -> Relaxation:
    """Gates are `sample(logits, Gumbel noise)`, with `noises` numbers a logit."""

    def gates(arch: Arch, weights: Weights, *, key: Key, step) -> Gates:
        last = () if noises is None else (noises,)
        keys = jax.random.split(key, len(arch))
        return {
            name: sample(arch[name], jax.random.gumbel(k, (*arch[name].shape, *last)))
            for k, name in zip(keys, sorted(arch), strict=True)
        }

    expected = lambda arch, weights, **_: jax.tree.map(jax.nn.softmax, arch)
    return Relaxation(relax.softmax(scale).init, gates, expected)


def rescale_unsampled() -> optax.GradientTransformation:
    """Shifts updated logits so that the probabilities of the others do not change.

    The sum of their exponentials stays constant. To be chained after an optimiser that does not
    change a logit without gradient, such as Adam without momentum. As ProxylessNAS's code does
    after a step of two paths.
    """

    def shifted(logits: jax.Array, updates: jax.Array) -> jax.Array:
        changes = updates != 0
        total = lambda x: jax.nn.logsumexp(x, axis=-1, keepdims=True, where=changes)
        growth = jnp.where(
            changes.any(-1, keepdims=True), total(logits + updates) - total(logits), 0
        )
        return jnp.where(changes, updates - growth, updates)

    def update(updates, state, params=None):
        return jax.tree.map(shifted, params, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
