"""Random changes to a batch that keep its labels: (key, f32[B, H, W, C]) -> the same shape."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxnas.core.types import Key

Augment = Callable[[Key, jax.Array], jax.Array]


def none() -> Augment:
    """The batch as it is."""
    return lambda key, images: images


def chain(*augments: Augment) -> Augment:
    """One after the other, each with a key of its own."""
    if not augments:
        raise ValueError("chain() of nothing changes nothing: say none().")

    def apply(key: Key, images: jax.Array) -> jax.Array:
        for augment, k in zip(augments, jax.random.split(key, len(augments)), strict=True):
            images = augment(k, images)
        return images

    return apply


def flip() -> Augment:
    """Left and right exchanged, with probability one half an image."""

    def apply(key: Key, images: jax.Array) -> jax.Array:
        mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
        return jnp.where(mirrored, images[:, :, ::-1], images)

    return apply


def black(mean: Sequence[float], std: Sequence[float]) -> tuple[float, ...]:
    """What a pixel of value 0 is after normalisation, a channel: the paper's padding."""
    return tuple(-m / s for m, s in zip(mean, std, strict=True))


def pad_crop(pad: int, fill: float | Sequence[float] = 0.0) -> Augment:
    """A window of the image's own size, at random in the image framed by `pad` pixels of `fill`.

    fill: normalised units, one number or one a channel; 0 is the mean colour, `black(mean, std)`
    gives what the DARTS code does, which crops before it normalises.
    """
    if pad < 1:
        raise ValueError(f"pad_crop({pad}) moves nothing: pad by at least 1, or leave it out.")

    def apply(key: Key, images: jax.Array) -> jax.Array:
        count, height, width, channels = images.shape
        if pad >= min(height, width):
            raise ValueError(f"pad_crop({pad}) can lose all of a {height}x{width} image: pad less.")
        framed = jnp.broadcast_to(
            jnp.asarray(fill, images.dtype), (count, height + 2 * pad, width + 2 * pad, channels)
        )
        framed = framed.at[:, pad:-pad, pad:-pad].set(images)
        corners = jax.random.randint(key, (count, 2), 0, 2 * pad + 1)

        def window(image: jax.Array, corner: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice(image, (*corner, 0), (height, width, channels))

        return jax.vmap(window)(framed, corners)

    return apply


def cutout(length: int) -> Augment:
    """A square of `length` pixels set to 0 (the mean colour), its centre anywhere in the image.

    The square is clipped at the border. DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552
    """
    if length < 1:
        raise ValueError(f"cutout({length}) cuts nothing: use at least 1, or leave it out.")

    def apply(key: Key, images: jax.Array) -> jax.Array:
        count, height, width, _ = images.shape
        if length > min(height, width):
            raise ValueError(f"cutout({length}) exceeds a {height}x{width} image: cut less.")
        k_row, k_column = jax.random.split(key)
        rows = _inside(k_row, count, height, length)[:, :, None, None]
        columns = _inside(k_column, count, width, length)[:, None, :, None]
        return jnp.where(rows & columns, 0, images)

    return apply


def _inside(key: Key, count: int, size: int, length: int) -> jax.Array:
    """bool[count, size]: pixels within `length` around a random centre."""
    start = jax.random.randint(key, (count, 1), 0, size) - length // 2
    place = jnp.arange(size)
    return (place >= start) & (place < start + length)
