"""Data augmentation: (key, f32[B, H, W, C]) -> images of the same shape and labels."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxnas.core.types import Key

Augment = Callable[[Key, jax.Array], jax.Array]


def none() -> Augment:
    """No augmentation."""
    return lambda key, images: images


def chain(*augments: Augment) -> Augment:
    """Augmentations one after the other, each with a separate key. Raises ValueError for none."""
    if not augments:
        raise ValueError("chain() of nothing changes nothing: say none().")

    def apply(key: Key, images: jax.Array) -> jax.Array:
        for augment, k in zip(augments, jax.random.split(key, len(augments)), strict=True):
            images = augment(k, images)
        return images

    return apply


def flip() -> Augment:
    """Mirrors each image left to right with probability one half."""

    def apply(key: Key, images: jax.Array) -> jax.Array:
        mirrored = jax.random.bernoulli(key, shape=(len(images), 1, 1, 1))
        return jnp.where(mirrored, images[:, :, ::-1], images)

    return apply


def black(mean: Sequence[float], std: Sequence[float]) -> tuple[float, ...]:
    """A black pixel after normalisation, one number a channel: the padding of the DARTS paper."""
    return tuple(-m / s for m, s in zip(mean, std, strict=True))


def pad_crop(pad: int, fill: float | Sequence[float] = 0.0) -> Augment:
    """Random crop to the image's own size, after padding each side by `pad` pixels of `fill`.

    fill: in normalised units, one number or one a channel; 0 is the mean colour, `black(mean, std)`
    what the DARTS code has, which crops before it normalises. Raises ValueError for `pad` below 1,
    and when called for images that are not larger than `pad`.
    """
    if pad < 1:
        raise ValueError(f"pad_crop({pad}) moves nothing: pad by at least 1, or leave it out.")

    def apply(key: Key, images: jax.Array) -> jax.Array:
        count, height, width, channels = images.shape
        if pad >= min(height, width):
            raise ValueError(f"pad_crop({pad}) can lose all of a {height}x{width} image: pad less.")
        padded = jnp.broadcast_to(
            jnp.asarray(fill, images.dtype), (count, height + 2 * pad, width + 2 * pad, channels)
        )
        padded = padded.at[:, pad:-pad, pad:-pad].set(images)
        corners = jax.random.randint(key, (count, 2), 0, 2 * pad + 1)

        def crop(image: jax.Array, corner: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice(image, (*corner, 0), (height, width, channels))

        return jax.vmap(crop)(padded, corners)

    return apply


def cutout(length: int) -> Augment:
    """Cutout: sets a square of `length` pixels to 0 (the mean colour), its centre at random.

    The square is clipped at the border. Raises ValueError for `length` below 1, and when called
    for images smaller than `length`. DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552
    """
    if length < 1:
        raise ValueError(f"cutout({length}) cuts nothing: use at least 1, or leave it out.")

    def apply(key: Key, images: jax.Array) -> jax.Array:
        count, height, width, _ = images.shape
        if length > min(height, width):
            raise ValueError(f"cutout({length}) exceeds a {height}x{width} image: cut less.")
        k_row, k_column = jax.random.split(key)
        rows = _span_mask(k_row, count, height, length)[:, :, None, None]
        columns = _span_mask(k_column, count, width, length)[:, None, :, None]
        return jnp.where(rows & columns, 0, images)

    return apply


def _span_mask(key: Key, count: int, size: int, length: int) -> jax.Array:
    """bool[count, size]: pixels within `length` around a random centre."""
    start = jax.random.randint(key, (count, 1), 0, size) - length // 2
    pixels = jnp.arange(size)
    return (pixels >= start) & (pixels < start + length)
