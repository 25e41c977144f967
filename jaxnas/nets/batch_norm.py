"""Batch normalisation with torch's running variance, and its factories for supernets."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

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
        if self.training:
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
            return _affine(y, *scale_and_bias) if scale_and_bias else y
        else:
            mean, var = running_mean.value, running_var.value
        return _normalise(x, mean, var, *scale_and_bias, epsilon=self.epsilon)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _standardise(x, epsilon):
    mean, var = _moments(x)
    return _normalise(x, mean, var, epsilon=epsilon), mean, var


@_standardise.defjvp
def _standardise_jvp(epsilon, primals, tangents):
    (x,), (t,) = primals, tangents
    y, mean, var = _standardise(x, epsilon)
    return (y, mean, var), _change(y, jax.lax.rsqrt(var + epsilon), t)


@jax.jit
def _change(y, inverse, t):
    first, second = _mean(t), _mean(y * t)
    change = (_rows(t) - _repeat(first, y) - _rows(y) * _repeat(second, y)) * _repeat(inverse, y)
    return change.reshape(y.shape), first, 2 * second / inverse


def _is_narrow(x):
    return x.ndim == 4 and x.shape[-1] < 16


def _rows(x):
    return x.reshape(-1, x.shape[-2] * x.shape[-1]) if _is_narrow(x) else x


def _mean(x):
    if not _is_narrow(x):
        return jnp.mean(x, tuple(range(x.ndim - 1)))
    width, channels = x.shape[-2:]
    return _rows(x).sum(0).reshape(width, channels).sum(0) / (x.size // channels)


def _repeat(value, x):
    return jnp.tile(value, x.shape[-2]) if _is_narrow(x) else value


@jax.jit
def _affine(y, scale, bias):
    return y * scale + bias


# Jitted: equal normalisations, hundreds in a search network, are traced and differentiated once.
@jax.jit
def _moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(mean, biased variance) of each channel."""
    mean = _mean(x)
    return mean, jnp.maximum(_mean(jnp.square(x)) - jnp.square(mean), 0)


@functools.partial(jax.jit, static_argnames="epsilon")
def _normalise(x, mean, var, scale=None, bias=None, *, epsilon: float) -> jax.Array:
    inverse = jax.lax.rsqrt(var + epsilon)
    inverse = inverse if scale is None else inverse * scale
    y = (_rows(x) - _repeat(mean, x)) * _repeat(inverse, x)
    return (y if bias is None else y + _repeat(bias, x)).reshape(x.shape)


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
