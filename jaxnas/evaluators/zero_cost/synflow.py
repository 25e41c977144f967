"""Synflow: the synaptic flow through all paths, without data.

Tanaka et al. 2020, https://arxiv.org/abs/2006.05467, equation 3; as a score Abdelfattah et al.
2021, https://arxiv.org/abs/2101.08134. Larger is better.
"""

import jax
import jax.numpy as jnp

from jaxnas.core.types import Network, Stats, Weights
from jaxnas.evaluators.zero_cost import weight_gradients


def synflow(net: Network, weights: Weights, stats: Stats, image: jax.Array) -> jax.Array:
    """f[]: log(1 + sum w dR/dw) over kernels, R the sum of the logits of an image of ones.

    With the absolute values of the weights and the initial statistics, by which a normalisation
    divides by sqrt(1 + epsilon) alone. `image`, [1, height, width, channels], gives shape and type:
    deep networks overflow in float32, so take float64.
    """
    cast = lambda tree: jax.tree.map(lambda leaf: leaf.astype(image.dtype), tree)
    positive = jax.tree.map(jnp.abs, cast(weights))
    flow = lambda w: jnp.sum(net.infer(w, cast(stats), jnp.ones_like(image)))
    gradient = jax.grad(flow)(positive)
    pairs = zip(weight_gradients.kernels(positive), weight_gradients.kernels(gradient), strict=True)
    return jnp.log1p(sum(jnp.sum(w * g) for w, g in pairs))
