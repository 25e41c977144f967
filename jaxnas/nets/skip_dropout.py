"""P-DARTS's skip: the identity, its output dropped out at a rate that follows the steps.

Chen et al. 2019, section 3.3, https://arxiv.org/abs/1904.12760
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.nets import ops
from jaxnas.nets.batch_norm import Norm


class DroppedIdentity(nn.Module):
    """The identity whose numbers are zeroed with chance `rate(step)`, the others enlarged.

    Step and key are statistics: they move on with every training pass whose statistics are
    kept, so that a resumed search drops as an uninterrupted one, and the passes of one step drop
    alike. A supernet's `infer` drops nothing; its `apply` does, also where it is only validated.
    Without weights, it counts as a candidate that gives all edges of a source the same value.
    """

    rate: Callable[[jax.Array], jax.Array]
    training: bool

    @nn.compact
    def __call__(self, x):
        fresh = lambda: jax.random.key_data(self.make_rng("params"))
        key = self.variable("stats", "key", fresh)
        step = self.variable("stats", "step", lambda: jnp.zeros((), jnp.int32))
        if self.is_initializing() or not self.training:
            return x
        now, after = jax.random.split(jax.random.wrap_key_data(key.value))
        kept = (1 - self.rate(step.value)).astype(x.dtype)
        key.value, step.value = jax.random.key_data(after), step.value + 1
        return jnp.where(jax.random.bernoulli(now, kept, x.shape), x / kept, 0)


def candidates(rate: Callable[[jax.Array], jax.Array], table: ops.Ops = ops.DARTS) -> ops.Ops:
    """`table` with dropped skips; `rate` gives the chance at a step, in [0, 1).

    At stride 2, where a skip is a factorised reduction, nothing is dropped, as in the paper's
    code (from memory).
    """

    def skip(features: int, stride: int, norm: Norm) -> nn.Module:
        plain = table["skip_connect"](features, stride, norm)
        if not isinstance(plain, ops.Identity):
            return plain
        # What a supernet is doing, its normalisation knows.
        return DroppedIdentity(rate, norm(parent=None).training)

    return {**table, "skip_connect": skip}
