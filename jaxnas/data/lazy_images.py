"""Images that are read one by one when needed, with their labels in memory."""

import os
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import NamedTuple

import numpy as np

from jaxnas.data import image_io
from jaxnas.data.images import DataError, Images


class LazyImages(NamedTuple):
    """`fetch(i)` reads image i as u8[H, W, C]; threads call it at the same time."""

    labels: np.ndarray  # i32[N]
    fetch: Callable[[int], np.ndarray]
    name: Callable[[int], str] | None = None  # of image i, for messages


SIZES_SHOWN = 4
ImageSource = Images | LazyImages


def take(source: ImageSource, indices: np.ndarray) -> ImageSource:
    """The images at `indices`, in that order; lazy images stay unread."""
    if isinstance(source, Images):
        return Images(source.inputs[indices], source.labels[indices])
    name = source.name and (lambda i: source.name(int(indices[i])))
    return LazyImages(source.labels[indices], lambda i: source.fetch(int(indices[i])), name)


def resized(source: ImageSource, size: int | None) -> ImageSource:
    """The images cropped to their largest centred square, then scaled to size x size.

    `source` itself where `size` is None or its arrays have this size already.
    """
    if size is None or (isinstance(source, Images) and source.inputs.shape[1:3] == (size, size)):
        return source
    if isinstance(source, Images):
        return LazyImages(source.labels, lambda i: image_io.resize(source.inputs[i], size))
    return source._replace(fetch=lambda i: image_io.resize(source.fetch(i), size))


def read(
    source: ImageSource, location: str, others: Sequence[ImageSource] = (), name: str = ""
) -> Images:
    """Reads all images into memory, in threads. `location` names them in messages.

    Raises DataError where they would not fit this machine's memory, and where sizes differ: it
    counts those of `others` as well, the other parts of the set `name`.
    """
    if isinstance(source, Images):
        return source
    count, first = len(source.labels), source.fetch(0)
    _check_memory(count * first.nbytes, location)
    inputs = np.empty((count, *first.shape), np.uint8)
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, count, 1024):
            indices = range(start, min(start + 1024, count))
            for i, image in zip(indices, pool.map(source.fetch, indices), strict=True):
                if image.shape != first.shape:
                    parts = [s for s in (source, *others) if isinstance(s, LazyImages)]
                    raise _several_sizes(parts, pool, name if others else location)
                inputs[i] = image
    return Images(inputs, source.labels)


def gather(source: ImageSource, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A batch (u8[B, H, W, C], i32[B]) of the images at `indices`.

    Raises DataError where their sizes differ.
    """
    if isinstance(source, Images):
        return source.inputs[indices], source.labels[indices]
    images = [source.fetch(int(i)) for i in indices]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise DataError(
            f"images of shapes {shapes[0]} and {shapes[1]} cannot share a batch; scale them with "
            "lazy_images.resized(source, size)."
        )
    return np.stack(images), source.labels[indices]


def _several_sizes(
    sources: Sequence[LazyImages], pool: futures.ThreadPoolExecutor, location: str
) -> DataError:
    """The error that names each size, how many images have it, and the first of them."""
    images_of: dict[tuple[int, ...], list[str]] = {}
    for source in sources:
        named = source.name or (lambda i: f"image {i}")
        shape_of = lambda i, source=source: source.fetch(i).shape
        for i, shape in enumerate(pool.map(shape_of, range(len(source.labels)))):
            images_of.setdefault(shape, []).append(named(i))
    largest = sorted(images_of.items(), key=lambda item: -len(item[1]))
    sizes = [
        f"{len(images):,} of {'x'.join(map(str, shape[:2]))} ({min(images)}"
        + (", ..." if len(images) > 1 else "")
        + ")"
        for shape, images in largest[:SIZES_SHOWN]
    ]
    more = f" and {len(largest) - SIZES_SHOWN} sizes more" if len(largest) > SIZES_SHOWN else ""
    return DataError(
        f"{location}: images of {len(largest)} sizes (height x width): {', '.join(sizes)}{more}; "
        "set image_size to scale all to one size (--image-size "
        f"{min(largest[0][0][:2])})."
    )


def _check_memory(needed: int, location: str) -> None:
    # Windows has no sysconf; there the allocation itself fails.
    if not hasattr(os, "sysconf"):
        return
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > total:
        raise DataError(
            f"{location}: {needed / 1e9:.1f} GB of pixels "
            f"but this machine has {total / 1e9:.1f} GB; "
            "set --limit or a smaller --image-size, or stream it from Python (data.stream)."
        )
