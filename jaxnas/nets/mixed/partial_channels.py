"""Partial channels: candidates see a part of the channels, the others bypass them.

PC-DARTS, https://arxiv.org/abs/1907.05737, yuhuixu1993/PC-DARTS model_search.py.
"""

import jax
import jax.numpy as jnp


def split(x: jax.Array, partial: int) -> tuple[jax.Array, jax.Array | None]:
    """(the channels of the candidates, those that bypass them)."""
    if partial == 1:
        return x, None
    # Not two slices: the derivative of a split is a concatenation, that of a slice a slow pad.
    return tuple(jnp.split(x, [x.shape[-1] // partial], -1))


def join(y: jax.Array, gate: jax.Array, passed: jax.Array | None, stride: int) -> jax.Array:
    """`[y, gate * passed]` with shuffled channels, so that the next cell's first ones are from all.

    If the candidates halve the size, a 2x2 max-pool halves the others.
    """
    if passed is None:
        return y
    if stride == 2:
        batch, height, width, channels = passed.shape
        odd = ((0, 0), (0, height % 2), (0, width % 2), (0, 0))
        passed = jnp.pad(passed, odd, mode="edge")
        passed = passed.reshape(batch, y.shape[1], 2, y.shape[2], 2, channels).max((2, 4))
    joined = jnp.concatenate([y, gate * passed], -1)
    group, channels = y.shape[-1], joined.shape[-1]
    grouped = joined.reshape(*joined.shape[:-1], channels // group, group)
    return jnp.swapaxes(grouped, -1, -2).reshape(joined.shape)
