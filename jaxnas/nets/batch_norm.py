"""Batch normalisation with torch's running variance, and its factories for supernets."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnas.nets import lowering

Norm = Callable[..., nn.Module]  # norm(name=...) -> module


class BatchNorm(nn.Module):
    """Batch normalisation whose running variance is the unbiased one, as torch's.

    flax.linen.BatchNorm keeps the biased variance, which moves every inference logit. In training
    it normalises by the batch and moves the running statistics, else by the latter. Raises
    ValueError for training on one value a channel (batch x height x width), which becomes 0.
    """

    affine: bool
    training: bool
    decay: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape, dtype = x.shape[-1:], x.dtype
        running_mean = self.variable("stats", "mean", jnp.zeros, shape, dtype)
        running_var = self.variable("stats", "var", jnp.ones, shape, dtype)
        ones, zeros = nn.initializers.ones, nn.initializers.zeros
        scale_and_bias = ()
        if self.affine:
            scale = self.param("scale", ones, shape, dtype)
            scale_and_bias = scale, self.param("bias", zeros, shape, dtype)
        if self.is_initializing():
            return x
        if not self.training:
            mean, var = running_mean.value, running_var.value
            return _normalise(x, mean, var, *scale_and_bias, epsilon=self.epsilon)
        count = x.size // x.shape[-1]
        if count == 1:
            raise ValueError(
                "One value a channel (batch x height x width is 1) is normalised to 0 whatever "
                "the image: take a larger --batch-size, larger images or fewer --reductions."
            )
        y, mean, var = _standardise(x, self.epsilon)
        unbiased = var * (count / max(count - 1, 1))
        average = lambda old, new: self.decay * old + (1 - self.decay) * new
        running_mean.value = average(running_mean.value, mean)
        running_var.value = average(running_var.value, unbiased)
        return _affine(y, *scale_and_bias) if self.affine else y


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _standardise(x: jax.Array, epsilon: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x with mean 0 and variance 1 in each channel, mean, biased variance)."""
    mean, var = _moments(x)
    return _normalise(x, mean, var, epsilon=epsilon), mean, var


# By rule: the derivative that JAX finds passes over the image twice as often, forward and back.
@_standardise.defjvp
def _standardise_jvp(epsilon, primals, tangents):
    (x,), (t,) = primals, tangents
    y, mean, var = _standardise(x, epsilon)
    return (y, mean, var), _tangents(y, jax.lax.rsqrt(var + epsilon), t)


# Jitted: equal normalisations, hundreds in a search network, are traced and differentiated once.
@jax.jit
def _tangents(y, inverse, t):
    """Those of the standardised image, of mean and variance, for one `t` of the image."""
    mean, along = _mean(t), _mean(y * t)
    tangent = (_flat(t) - _spread(mean, y) - _flat(y) * _spread(along, y)) * _spread(inverse, y)
    return tangent.reshape(y.shape), mean, 2 * along / inverse


@jax.jit
def _moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(mean, biased variance) of each channel."""
    mean = _mean(x)
    return mean, jnp.maximum(_mean(jnp.square(x)) - jnp.square(mean), 0)


@functools.partial(jax.jit, static_argnames="epsilon")
def _normalise(x, mean, var, scale=None, bias=None, *, epsilon: float) -> jax.Array:
    inverse = jax.lax.rsqrt(var + epsilon)
    inverse = inverse if scale is None else inverse * scale
    y = (_flat(x) - _spread(mean, x)) * _spread(inverse, x)
    return (y if bias is None else y + _spread(bias, x)).reshape(x.shape)


@jax.jit
def _affine(y, scale, bias):
    return (_flat(y) * _spread(scale, y) + _spread(bias, y)).reshape(y.shape)


def _is_narrow(x: jax.Array) -> bool:
    return x.ndim == 4 and x.shape[-1] < lowering.NARROW


def _flat(x: jax.Array) -> jax.Array:
    """A narrow image as `[B * H, W * C]`: its loops are then as long as a row."""
    return x.reshape(-1, x.shape[-2] * x.shape[-1]) if _is_narrow(x) else x


def _spread(values: jax.Array, x: jax.Array) -> jax.Array:
    """Values of the channels for `_flat(x)`."""
    return jnp.tile(values, x.shape[-2]) if _is_narrow(x) else values


def _mean(x: jax.Array) -> jax.Array:
    """Of each channel."""
    if not _is_narrow(x):
        return jnp.mean(x, tuple(range(x.ndim - 1)))
    width, channels = x.shape[-2:]
    return _flat(x).sum(0).reshape(width, channels).sum(0) / (x.size // channels)


class Norms(NamedTuple):
    """Factories of normalisation layers: inside cells, and outside of them."""

    inside: Norm
    outside: Norm


@functools.cache
def norms(affine_inside: bool, training: bool) -> Norms:
    """The normalisation of a supernet, affine outside of the cells.

    Cached: equal factories let equal cells be traced once.
    """
    make = functools.partial(functools.partial, BatchNorm, training=training)
    return Norms(make(affine=affine_inside), make(affine=True))
