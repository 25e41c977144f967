"""A data set: two halves to search with, and a test set that nobody looks at before the end."""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.data import channel_statistics, lazy_images, splits
from jaxnas.data.images import DataError, Images, as_images
from jaxnas.data.lazy_images import ImageSource


class DataSet(NamedTuple):
    name: str
    train: Images  # the half that the weights learn from
    valid: Images  # the half that the arch learns from
    test: Images
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # a channel, in [0, 1] units
    std: tuple[float, ...]
    digest: str  # sha256 of all arrays, their shapes and the class names


class Splits(NamedTuple):
    """What a reader finds, before it is cut."""

    name: str
    train: ImageSource
    test: ImageSource | None  # None: a sixth of `train` is held out
    class_names: tuple[str, ...] | None  # None: the numbers that occur


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    **options: Any,
) -> DataSet:
    """A data set of arrays, as `images.as_images` accepts them (numpy, JAX, lists).

    Without a test part a stratified sixth is held out. `options` are those of `assemble`.
    Raises DataError as `as_images` and `assemble` do.
    """
    if (x_test is None) != (y_test is None):
        raise DataError(f"{name}: x_test and y_test belong together; give both or neither.")
    train = as_images(x_train, y_train, f"{name}, training part")
    test = None if x_test is None else as_images(x_test, y_test, f"{name}, test part")
    names = None if class_names is None else tuple(str(each) for each in class_names)
    return assemble(Splits(name, train, test, names), **options)


def from_pairs(
    train: Iterable[tuple[Any, int]],
    test: Iterable[tuple[Any, int]] | None = None,
    *,
    limit: int | None = None,
    name: str = "pairs",
    **options: Any,
) -> DataSet:
    """A data set from iterators of (image, label), exhausted into memory.

    An endless iterator needs `limit`, which then takes the first of each as in `assemble`.
    """
    _check_limit(limit, name)
    x_train, y_train = _stacked(train, limit, f"{name}, training part")
    if test is None:
        return from_arrays(x_train, y_train, name=name, limit=limit, **options)
    x_test, y_test = _stacked(test, limit and limit // 5, f"{name}, test part")
    return from_arrays(x_train, y_train, x_test, y_test, name=name, limit=limit, **options)


def assemble(
    parts: Splits,
    *,
    train_fraction: float = 0.5,
    split_seed: int | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> DataSet:
    """Cuts the parts into a `DataSet`.

    limit: the first N training and N // 5 test images; it is applied before the halves are cut.
    train_fraction, split_seed: see `splits.split_train`. image_size: see `lazy_images.resized`.
    mean, std: of the training half unless given; one number a channel, in [0, 1] units.
    Raises DataError for settings out of range, fewer than two classes, a class that is missing
    in the training half or has a single image, and for channels without variance.
    """
    name = parts.name
    _check_limit(limit, name)
    if image_size is not None and not 1 <= image_size <= 4096:
        raise DataError(f"image_size is {image_size}; it counts pixels, 1 to 4096.")
    names = _class_names(parts)
    train, test = parts.train, parts.test
    splits.check_pairs(train.labels, names, name)
    if test is None:
        kept, held = splits.held_out(train.labels, len(train.labels) // 6, name)
        train, test = lazy_images.take(train, kept), lazy_images.take(train, held)
    if limit is not None:
        if limit > len(train.labels):
            raise DataError(
                f"limit is {limit} but {name} has {len(train.labels)} training images; "
                "lower it or leave it out."
            )
        train = lazy_images.take(train, np.arange(limit))
        test = lazy_images.take(test, np.arange(min(limit // 5, len(test.labels))))
    splits.check_pairs(train.labels, names, name)
    first, second = splits.split_train(train.labels, train_fraction, split_seed, name)
    splits.check_split(train.labels[first], names, name)
    train = lazy_images.read(lazy_images.resized(train, image_size), f"{name}, training part")
    test = lazy_images.read(lazy_images.resized(test, image_size), f"{name}, test part")
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        raise DataError(
            f"{name}: training images are {train.inputs.shape[1:]} but test images are "
            f"{test.inputs.shape[1:]}; bring them to one size and channel count (image_size)."
        )
    train, valid = lazy_images.take(train, first), lazy_images.take(train, second)
    mean, std = channel_statistics.mean_and_std(train, mean, std, name)
    return DataSet(name, train, valid, test, names, mean, std, _digest((train, valid, test), names))


def merge_train(found: DataSet) -> Images:
    """Both halves together, to retrain on: all training images."""
    return Images(
        np.concatenate([found.train.inputs, found.valid.inputs]),
        np.concatenate([found.train.labels, found.valid.labels]),
    )


def _stacked(pairs: Iterable[tuple[Any, int]], count: int | None, where: str) -> tuple:
    taken = list(itertools.islice(pairs, count))
    if not taken:
        raise DataError(f"{where}: the iterator gave no pair of image and label.")
    images = [np.asarray(image) for image, _ in taken]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise DataError(
            f"{where}: images of shapes {shapes[0]} and {shapes[1]}; scale them to one size first."
        )
    return np.stack(images), np.asarray([label for _, label in taken])


def _check_limit(limit: int | None, name: str) -> None:
    if limit is not None and limit < 5:
        raise DataError(
            f"limit is {limit}; {name} needs at least 5, since a fifth of it is the test set."
        )


def _class_names(parts: Splits) -> tuple[str, ...]:
    """Every class is named and has images; the test set knows no other."""
    present = np.unique(parts.train.labels)
    names = parts.class_names
    if not len(present):
        raise DataError(f"{parts.name}: no training images.")
    if names is None:
        if present[-1] + 1 != len(present):
            raise DataError(
                f"{parts.name}: labels go up to {present[-1]} but only {len(present)} values "
                f"occur; number the classes 0..{len(present) - 1} without gaps."
            )
        names = tuple(str(label) for label in present)
    if len(set(names)) < len(names):
        raise DataError(f"{parts.name}: class names repeat, {names}; give each class its own.")
    used = [present]
    if parts.test is not None:
        if not len(parts.test.labels):
            raise DataError(f"{parts.name}: no test images.")
        used.append(np.unique(parts.test.labels))
    highest = max(int(labels[-1]) for labels in used)
    if highest >= len(names):
        raise DataError(
            f"{parts.name}: label {highest} is out of range for {len(names)} classes "
            f"(0..{len(names) - 1}); correct the labels or name every class."
        )
    if len(names) < 2:
        raise DataError(f"{parts.name}: only one class, {names[0]!r}; there is nothing to tell.")
    absent = sorted(set(range(len(names))) - set(present.tolist()))
    if absent:
        raise DataError(
            f"{parts.name}: class {names[absent[0]]!r} has no training image; add some or remove "
            "the class."
        )
    return names


def _digest(parts: tuple[Images, ...], names: tuple[str, ...]) -> str:
    sha = hashlib.sha256(repr(names).encode())
    for array in (array for part in parts for array in part):
        sha.update(f"{array.shape} {array.dtype.str}".encode())
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()
