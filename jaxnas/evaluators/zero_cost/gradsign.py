"""GradSign: how far the gradients of single images agree in sign.

Zhang and Jia 2022, https://arxiv.org/abs/2110.08616, algorithm 1. Larger is better.
"""

import jax
import jax.numpy as jnp

from jaxnas.core.types import Batch, Network, Stats, Weights
from jaxnas.evaluators.zero_cost import weight_gradients


def gradsign(net: Network, weights: Weights, stats: Stats, batch: Batch) -> jax.Array:
    """f32[]: sum over kernels' weights of |sum over images of sign(gradient of its loss)|.

    As in the paper's code every image is normalised by its own statistics, a batch of one. Images
    are taken one after another, so that the memory is that of one gradient.
    """

    def add(total, image: Batch):
        one = jax.tree.map(lambda leaf: leaf[None], image)
        gradient = jax.grad(lambda w: weight_gradients.loss(net, stats, one, w))(weights)
        return jax.tree.map(lambda t, g: t + jnp.sign(g), total, gradient), None

    zero = jax.tree.map(jnp.zeros_like, weights)
    return agreement(jax.lax.scan(add, zero, batch)[0])


def agreement(sum_of_signs: Weights) -> jax.Array:
    """f32[]: the sum of absolute values of the sums of signs, over kernels."""
    return sum(jnp.sum(jnp.abs(total)) for total in weight_gradients.kernels(sum_of_signs))
