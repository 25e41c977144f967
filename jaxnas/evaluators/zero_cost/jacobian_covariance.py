"""Jacobian covariance: how differently a network reacts to different images.

Mellor et al. 2021, https://arxiv.org/abs/2006.04647, version 1, as in Abdelfattah et al. 2021,
https://arxiv.org/abs/2101.08134. Larger is better.
"""

import jax
import jax.numpy as jnp

EPSILON = 1e-5


def jacobian_covariance(jacobian: jax.Array) -> jax.Array:
    """f32[]: -sum(log(v + EPSILON) + 1 / (v + EPSILON)), v the eigenvalues of the correlations.

    `jacobian`, [images, ...], is the gradient of the sum of each image's logits with respect to the
    image; the correlations are between images. At most -images, for uncorrelated ones.
    """
    rows = jacobian.reshape(len(jacobian), -1)
    rows = rows - rows.mean(1, keepdims=True)
    rows = rows / jnp.maximum(jnp.linalg.norm(rows, axis=1, keepdims=True), 1e-30)
    values = jnp.maximum(jnp.linalg.eigvalsh(rows @ rows.T), 0)
    return -jnp.sum(jnp.log(values + EPSILON) + 1 / (values + EPSILON))
