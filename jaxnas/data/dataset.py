"""A data set: training and validation images for the search, and a test set for the end."""

# The parts of a set keep their names when they are read: pyright follows no such change.
# pyright: reportArgumentType=false, reportReturnType=false, reportOptionalMemberAccess=false
# pyright: reportGeneralTypeIssues=false

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.data import channel_statistics, lazy_images, splits
from jaxnas.data.images import DataError, Images, as_images
from jaxnas.data.lazy_images import ImageSource


class DataSet(NamedTuple):
    """Images in memory. `train` and `valid` are the two halves of the training images."""

    name: str
    train: Images  # the weights learn from these
    valid: Images  # the arch learns from these
    test: Images
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # a channel, in [0, 1] units
    std: tuple[float, ...]
    digest: str  # sha256 of all arrays, their shapes and the class names
    own_valid: bool = False  # `valid` is a part of its own, no share of the training images


class Splits(NamedTuple):
    """A data set as read, before the training images are split into halves."""

    name: str
    train: ImageSource
    test: ImageSource | None  # None: a sixth of `train` is held out
    class_names: tuple[str, ...] | None  # None: the labels that occur
    valid: ImageSource | None = None  # None: a share of `train`


def from_arrays(
    x_train: Any,
    y_train: Any,
    x_test: Any = None,
    y_test: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    layout: str | None = None,
    **options: Any,
) -> DataSet:
    """A data set of arrays that `images.as_images` accepts (numpy, JAX, nested lists).

    layout: "NHWC" or "NCHW", for shapes that can be read both ways. Without a test set a stratified
    sixth of the images is held out. `options` are those of `assemble`. Raises DataError as
    `as_images` and `assemble` do.
    """
    if (x_test is None) != (y_test is None):
        raise DataError(f"{name}: x_test and y_test belong together; give both or neither.")
    train = as_images(x_train, y_train, f"{name}, training part", layout)
    test = None if x_test is None else as_images(x_test, y_test, f"{name}, test part", layout)
    names = None if class_names is None else tuple(map(str, class_names))
    return assemble(Splits(name, train, test, names), **options)


def from_pairs(
    train: Iterable[tuple[Any, int]],
    test: Iterable[tuple[Any, int]] | None = None,
    *,
    limit: int | None = None,
    name: str = "pairs",
    **options: Any,
) -> DataSet:
    """A data set of iterators of (image, label), read completely into memory.

    An endless iterator needs `limit`, which takes the first pairs of each as in `assemble`. Raises
    DataError as `from_arrays` does, and for iterators without a pair or images of several sizes.
    """
    _check_limit(limit, name)
    x_train, y_train = _stack(train, limit, f"{name}, training part")
    if test is None:
        return from_arrays(x_train, y_train, name=name, limit=limit, **options)
    x_test, y_test = _stack(test, limit and limit // 5, f"{name}, test part")
    return from_arrays(x_train, y_train, x_test, y_test, name=name, limit=limit, **options)


def assemble(
    source: Splits,
    *,
    train_fraction: float = 0.5,
    split_seed: int | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> DataSet:
    """Splits the training images into halves and reads all images into a `DataSet`.

    limit: only the first N training and N // 5 test images (of every class in proportion where the
    first lack one, one a class at least); applied before the halves are split.
    train_fraction, split_seed: see `splits.train_valid_split`. A set with a validation part of its
    own is not split: it has no share, and refuses a seed.
    image_size: see `lazy_images.resized`.
    mean, std: of the training half unless given; one number a channel, in [0, 1] units.
    Raises DataError for settings out of range, fewer than two classes, a class that is missing
    in a part or has a single image, and for channels without variance.
    """
    name = source.name
    _check_limit(limit, name)
    if image_size is not None and not 1 <= image_size <= 4096:
        raise DataError(f"image_size is {image_size}; it counts pixels, 1 to 4096.")
    if source.valid is not None and split_seed is not None:
        raise DataError(
            f"{name} has a validation part of its own: split_seed (--split-seed) has no effect; "
            "leave it out."
        )
    names = _class_names(source)
    train, valid, test = _limited(_with_test(source, names), limit, name)
    if valid is None:
        splits.check_class_counts(train.labels, names, name)
        in_train, in_valid = splits.train_valid_split(
            train.labels, train_fraction, split_seed, name
        )
        splits.check_all_classes(train.labels[in_train], names, name)
        splits.check_all_classes(train.labels[in_valid], names, name, "validation half")
        splits.check_even(train.labels[in_train], train.labels[in_valid], names, name)
    else:
        splits.check_all_classes(train.labels, names, name, "training part")
        splits.check_tested(valid.labels, names, name, "validation part")
    splits.check_tested(test.labels, names, name, "test part")
    train, valid, test = (
        part and lazy_images.resized(part, image_size) for part in (train, valid, test)
    )
    parts = [part for part in (train, valid, test) if part is not None]
    read = lambda part, what: lazy_images.read(
        part, f"{name}, {what} part", [other for other in parts if other is not part], name
    )
    train, test = read(train, "training"), read(test, "test")
    _check_shapes(train, test, name, "test")
    if valid is None:
        train, valid = lazy_images.take(train, in_train), lazy_images.take(train, in_valid)
    else:
        valid = read(valid, "validation")
        _check_shapes(train, valid, name, "validation")
    mean, std = channel_statistics.mean_and_std(train, mean, std, name)
    digest = _digest((train, valid, test), names)
    return DataSet(name, train, valid, test, names, mean, std, digest, source.valid is not None)


def _with_test(source: Splits, names: tuple[str, ...]) -> Splits:
    """The splits with a test part: a stratified sixth of the training images if there is none."""
    train, name = source.train, source.name
    if source.valid is None:
        splits.check_class_counts(train.labels, names, name)
    if source.test is not None:
        return source
    splits.check_can_be_tested(train.labels, names, name)
    minimum = 1 if source.valid is not None else 2
    in_train, in_test = splits.stratified_split(
        train.labels, len(train.labels) // 6, name, minimum=minimum
    )
    return source._replace(
        train=lazy_images.take(train, in_train), test=lazy_images.take(train, in_test)
    )


def _limited(
    source: Splits, limit: int | None, name: str
) -> tuple[ImageSource, ImageSource | None, ImageSource]:
    """(training, validation, test images), of which `limit` are of the first two together."""
    train, valid, test = source.train, source.valid, source.test
    if limit is None:
        return train, valid, test
    count = len(train.labels) + (0 if valid is None else len(valid.labels))
    if limit > count:
        raise DataError(
            f"limit is {limit} but {name} has {count} training images; lower it or leave it out."
        )
    in_train = limit * len(train.labels) // count
    if valid is not None:
        valid = lazy_images.take(valid, splits.first_of_all(valid.labels, limit - in_train))
    train = lazy_images.take(train, np.arange(in_train))
    return train, valid, lazy_images.take(test, splits.first_of_all(test.labels, limit // 5))


def _check_shapes(train: Images, other: Images, name: str, part: str) -> None:
    if train.inputs.shape[1:] != other.inputs.shape[1:]:
        raise DataError(
            f"{name}: training images are {train.inputs.shape[1:]} but {part} images are "
            f"{other.inputs.shape[1:]}; bring them to one size and channel count (--image-size)."
        )


def merge_train(dataset: DataSet) -> Images:
    """All training images, both halves together, for retraining."""
    return Images(
        np.concatenate([dataset.train.inputs, dataset.valid.inputs]),
        np.concatenate([dataset.train.labels, dataset.valid.labels]),
    )


def _stack(pairs: Iterable[tuple[Any, int]], count: int | None, location: str) -> tuple:
    pairs = list(itertools.islice(pairs, count))
    if not pairs:
        raise DataError(f"{location}: the iterator gave no pair of image and label.")
    images = [np.asarray(image) for image, _ in pairs]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        raise DataError(
            f"{location}: images of shapes {shapes[0]} and {shapes[1]}; "
            "scale them to one size first."
        )
    return np.stack(images), np.asarray([label for _, label in pairs])


def _check_limit(limit: int | None, name: str) -> None:
    if limit is not None and limit < 5:
        raise DataError(
            f"limit is {limit}; {name} needs at least 5, since a fifth of it is the test set."
        )


def _class_names(source: Splits) -> tuple[str, ...]:
    """The names of the classes. Raises DataError unless labels and names fit together."""
    present = np.unique(source.train.labels)
    names = source.class_names
    if not len(present):
        raise DataError(f"{source.name}: no training images.")
    if names is None:
        if present[-1] + 1 != len(present):
            raise DataError(
                f"{source.name}: labels go up to {present[-1]} but only {len(present)} values "
                f"occur; number the classes 0..{len(present) - 1} without gaps."
            )
        names = tuple(str(label) for label in present)
    if len(set(names)) < len(names):
        raise DataError(f"{source.name}: class names repeat, {names}; give each class its own.")
    splits_labels = [present]
    if source.valid is not None:
        splits_labels.append(np.unique(source.valid.labels))
    if source.test is not None:
        if not len(source.test.labels):
            raise DataError(f"{source.name}: no test images.")
        splits_labels.append(np.unique(source.test.labels))
    highest = max(int(labels[-1]) for labels in splits_labels)
    if highest >= len(names):
        raise DataError(
            f"{source.name}: label {highest} is out of range for {len(names)} classes "
            f"(0..{len(names) - 1}); correct the labels or name every class."
        )
    if len(names) < 2:
        raise DataError(f"{source.name}: only one class, {names[0]!r}; there is nothing to tell.")
    absent = sorted(set(range(len(names))) - set(present.tolist()))
    if absent:
        raise DataError(
            f"{source.name}: class {names[absent[0]]!r} has no training image; add some or remove "
            "the class."
        )
    return names


def _digest(parts: tuple[Images, ...], names: tuple[str, ...]) -> str:
    sha = hashlib.sha256(repr(names).encode())
    for array in (array for images in parts for array in images):
        sha.update(f"{array.shape} {array.dtype.str}".encode())
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()
