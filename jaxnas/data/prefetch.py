"""Batches of images that do not fit the device, as a pure function of (seed, step)."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxnas.data import lazy_images, on_device
from jaxnas.data.lazy_images import ImageSource

Pixels = tuple[np.ndarray, np.ndarray]  # u8[B, H, W, C], i32[B]


def stream(source: ImageSource, seed: int, batch_size: int) -> Callable[[int], Pixels]:
    """step -> (images, labels) on the host, drawn without replacement within an epoch.

    source: `Images` (of a `np.memmap`, too) or `LazyImages`. The incomplete last batch is dropped,
    every epoch has a different order, and steps may be requested in any order.
    Raises DataError where `batch_size` exceeds the set.
    """
    batches = _batches(source, seed, batch_size)
    return lambda step: batches[int(step)]


def prefetched(
    source: ImageSource,
    seed: int,
    batch_size: int,
    start: int = 0,
    num_threads: int = 2,
    buffer_size: int = 8,
) -> Iterator[Pixels]:
    """The batches of `stream` from step `start` on, without end, prefetched in threads.

    At most `buffer_size` batches are in memory. To resume, start at the next step.
    Raises DataError as `stream` does.
    """
    import grain

    # Threads, no worker processes: grain 0.2.18's crash in programs without absl flags (#1355).
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=buffer_size)
    return iter(_batches(source, seed, batch_size)[start:].to_iter_dataset(options))


def _batches(source: ImageSource, seed: int, batch_size: int) -> Any:
    """A grain.MapDataset of `Pixels`."""
    import grain  # takes half a second, and only streams need it

    count = len(source.labels)
    on_device.steps_per_epoch(count, batch_size)
    # Batches before epochs: the other way round, a batch would span two of them.
    indices = grain.MapDataset.source(range(count)).seed(seed).shuffle()
    batches = indices.batch(batch_size, drop_remainder=True).repeat()
    return batches.map(lambda indices: lazy_images.gather(source, indices))
