"""Batches of images that are kept on the device, as a pure function of (key, step)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.typing

from jaxnas.core.types import Batch, Key, Scalar
from jaxnas.data import shuffle
from jaxnas.data.augment import Augment
from jaxnas.data.images import DataError, Images


class DeviceImages(NamedTuple):
    """Images and their labels on a device, a byte a pixel."""

    inputs: jax.Array  # u8[N, H, W, C]
    labels: jax.Array  # i32[N]


def to_device(images: Images) -> DeviceImages:
    """Copies images to the default device."""
    return DeviceImages(jnp.asarray(images.inputs), jnp.asarray(images.labels))


def steps_per_epoch(count: int, batch_size: int) -> int:
    """How many whole batches `count` images make; the last, incomplete one is dropped.

    Raises DataError where there is not one whole batch.
    """
    if not 1 <= batch_size <= count:
        raise DataError(
            f"batch_size is {batch_size} but there are {count} images to draw from; "
            f"use 1 to {count} (--batch-size)."
        )
    return count // batch_size


def draw_batch(
    images: DeviceImages, key: Key, step: Scalar | int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """(u8[B, H, W, C], i32[B]) of a step, drawn without replacement within an epoch.

    The order of epoch e is a permutation by fold_in(key, e), so that there is no state to save.
    Raises DataError where `batch_size` exceeds the set.
    """
    # DARTS's code keeps the partial last batch, and draws validation batches from an
    # iterator that it makes anew at every step, thus with replacement; we do neither.
    count = len(images.labels)
    epoch, batch = jnp.divmod(jnp.asarray(step), steps_per_epoch(count, batch_size))
    places = batch * batch_size + jnp.arange(batch_size)
    indices = shuffle.positions(jax.random.fold_in(key, epoch), places, count)
    return images.inputs[indices], images.labels[indices]


def normalise(inputs: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    """(u8[..., C] / 255 - mean) / std, in f32."""
    return (inputs.astype(jnp.float32) / 255 - jnp.float32(mean)) / jnp.float32(std)


def preprocess(
    mean: Sequence[float],
    std: Sequence[float],
    augment: Augment,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> Callable[[Key, jax.Array, jax.Array], Batch]:
    """(key, u8[B, H, W, C], i32[B]) -> Batch, normalised, augmented, then cast to `dtype`."""

    def batch(key: Key, inputs: jax.Array, labels: jax.Array) -> Batch:
        return Batch(augment(key, normalise(inputs, mean, std)).astype(dtype), labels)

    return batch


def make_batch(
    mean: Sequence[float],
    std: Sequence[float],
    augment: Augment,
    batch_size: int,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> Callable[[DeviceImages, Key, Scalar], Batch]:
    """(images, key, step) -> Batch, drawn and preprocessed; for jit, scan and vmap over keys.

    The images are an argument: closed over, XLA would compile all pixels into the program.
    Raises DataError while tracing where `batch_size` exceeds the set.
    """
    finish = preprocess(mean, std, augment, dtype)

    def batch(images: DeviceImages, key: Key, step: Scalar) -> Batch:
        k_order, k_augment = jax.random.split(key)
        inputs, labels = draw_batch(images, k_order, step, batch_size)
        return finish(jax.random.fold_in(k_augment, step), inputs, labels)

    return batch
