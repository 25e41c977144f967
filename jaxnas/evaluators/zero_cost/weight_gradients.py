"""Scores by the gradient of a batch's loss with respect to the weights: its norm, and SNIP.

As Abdelfattah et al. 2021 adapt them, https://arxiv.org/abs/2101.08134, section 3: sums over the
kernels of convolutions and linear layers. Larger is better.
"""

import jax
import jax.numpy as jnp

from jaxnas.core import metrics
from jaxnas.core.types import Batch, Network, Stats, Weights


def kernels(tree: Weights) -> list[jax.Array]:
    """The leaves that are kernels: two axes or more; without those of normalisations."""
    return [leaf for leaf in jax.tree.leaves(tree) if leaf.ndim > 1]


def loss(net: Network, stats: Stats, batch: Batch, weights: Weights) -> jax.Array:
    """The mean cross entropy in nats, normalised by the batch's statistics, no paths dropped."""
    (logits, _), _ = net.apply(weights, stats, batch.inputs, jax.random.key(0), 0.0)
    return metrics.cross_entropy(logits, batch.labels)


def gradient_norm(gradient: Weights) -> jax.Array:
    """f32[]: the sum over kernels of the gradient's Euclidean norms."""
    return sum(jnp.linalg.norm(g.ravel()) for g in kernels(gradient))


def snip(weights: Weights, gradient: Weights) -> jax.Array:
    """f32[]: sum |weight * gradient|. Lee et al. 2019, https://arxiv.org/abs/1810.02340."""
    pairs = zip(kernels(weights), kernels(gradient), strict=True)
    return sum(jnp.sum(jnp.abs(w * g)) for w, g in pairs)
