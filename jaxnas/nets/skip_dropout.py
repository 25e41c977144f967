"""Dropout on the output of skip connections, with a scheduled rate: P-DARTS.

Chen et al. 2019, section 3.3, https://arxiv.org/abs/1904.12760
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.nets import ops
from jaxnas.nets.batch_norm import Norm


class DroppedIdentity(nn.Module):
    """The identity followed by dropout with probability `rate(step)`.

    Step and key are statistics: they change with every training pass whose statistics are kept, so
    that a resumed search drops as an uninterrupted one, and the passes of one step drop the same.
    A supernet's `infer` has no dropout; its `apply` has, also for validation. Without weights, it
    has the same value on all edges of a source.
    """

    rate: Callable[[jax.Array], jax.Array]
    training: bool

    @nn.compact
    def __call__(self, x):
        initial_key = lambda: jax.random.key_data(self.make_rng("params"))
        key = self.variable("stats", "key", initial_key)
        step = self.variable("stats", "step", lambda: jnp.zeros((), jnp.int32))
        if self.is_initializing() or not self.training:
            return x
        k_mask, next_key = jax.random.split(jax.random.wrap_key_data(key.value))
        keep = (1 - self.rate(step.value)).astype(x.dtype)
        key.value, step.value = jax.random.key_data(next_key), step.value + 1
        return jnp.where(jax.random.bernoulli(k_mask, keep, x.shape), x / keep, 0)


def candidates(rate: Callable[[jax.Array], jax.Array], table: ops.Ops = ops.DARTS) -> ops.Ops:
    """`table` with dropout on its skips; `rate` gives the probability at a step, in [0, 1).

    At stride 2, where a skip is a factorised reduction, nothing is dropped, as in the paper's
    code (from memory).
    """

    def dropped_skip(features: int, stride: int, norm: Norm) -> nn.Module:
        skip = table["skip_connect"](features, stride, norm)
        if not isinstance(skip, ops.Identity):
            return skip
        # The normalisation has the supernet's training mode.
        return DroppedIdentity(rate, norm(parent=None).training)

    return {**table, "skip_connect": dropped_skip}
