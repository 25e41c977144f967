"""Batches of images that are kept on the device, as a pure function of (key, step)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.typing

from jaxnas.core.types import Batch, Key, Scalar
from jaxnas.data.augment import Augment
from jaxnas.data.images import DataError, Images

SORTED = 2000  # up to as many are sorted, which is then as fast and reaches every order
ROUNDS = 8


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


def shuffled(key: Key, places: jax.Array, count: int) -> jax.Array:
    """i32[...]: what stands at `places`, i32[...], of a random order of 0 to `count` - 1.

    The same key is the same order, in which nothing is twice. Up to SORTED it is
    `jax.random.permutation`, whose sort of 25,000 takes a core 14 ms. Above, places are written as
    pairs of digits, and each digit is moved in turn by a random function of the other: a Feistel
    network (Luby and Rackoff 1988) of ROUNDS rounds over numbers that are no powers of two, in 0.1
    ms whatever the count. Values beyond the last are encrypted again, Black and Rogaway 2002.
    """
    if count <= SORTED:
        return jax.random.permutation(key, count)[places]
    high = math.isqrt(count - 1) + 1
    low = -(-count // high)
    k_high, k_low = jax.random.split(key)
    of_low = jax.random.randint(k_high, (ROUNDS, low), 0, high)
    of_high = jax.random.randint(k_low, (ROUNDS, high), 0, low)

    def moved(values: jax.Array) -> jax.Array:
        a, b = values // low, values % low
        for row_a, row_b in zip(of_low, of_high, strict=True):
            a = (a + row_a[b]) % high
            b = (b + row_b[a]) % low
        return a * low + b

    is_beyond = lambda values: jnp.any(values >= count)
    again = lambda values: jnp.where(values >= count, moved(values), values)
    return jax.lax.while_loop(is_beyond, again, moved(jnp.asarray(places, jnp.int32)))


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
    indices = shuffled(jax.random.fold_in(key, epoch), places, count)
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
