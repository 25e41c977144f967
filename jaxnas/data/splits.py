"""Splits of images into training, validation and test sets, by index or stratified."""

import numpy as np

from jaxnas.data.images import DataError


def train_valid_split(
    labels: np.ndarray, train_fraction: float, split_seed: int | None, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation images, both ascending.

    Without a seed the first floor(fraction * N) images train, as in DARTS
    (https://arxiv.org/abs/1806.09055 and its code); with one the split is drawn, stratified by
    class. `name` is that of the data set, for messages. Raises DataError for an empty half, and as
    `stratified_split` does.
    """
    if not 0 < train_fraction < 1:
        raise DataError(
            f"train_fraction is {train_fraction}; it must lie between 0 and 1, so that "
            "both halves have images."
        )
    count = int(np.floor(train_fraction * len(labels)))
    if not 0 < count < len(labels):
        raise DataError(
            f"{name}: train_fraction {train_fraction} of {len(labels)} images leaves "
            "a half empty; use more images or another fraction."
        )
    if split_seed is None:
        return np.arange(count), np.arange(count, len(labels))
    return stratified_split(labels, len(labels) - count, name, split_seed)


def stratified_split(
    labels: np.ndarray, count: int, name: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the remaining images and of `count` held out, stratified by class; ascending.

    Raises DataError for a class of one image, too few images, and a seed out of range.
    """
    from sklearn import model_selection  # takes over a second, and is not always needed

    present, occurrences = np.unique(labels, return_counts=True)
    if occurrences.min() < 2:
        rare = present[occurrences.argmin()]
        raise DataError(
            f"{name}: class number {rare} has a single image and cannot be split; add images or "
            "remove the class."
        )
    if min(count, len(labels) - count) < len(present):
        raise DataError(
            f"{name}: {len(labels)} images are too few to split off {count} with all "
            f"{len(present)} classes in both parts; add images."
        )
    if not 0 <= seed < 2**32:
        raise DataError(f"split_seed is {seed}; it must be in 0..2^32-1.")
    remaining, held_out = model_selection.train_test_split(
        np.arange(len(labels)), test_size=count, stratify=labels, random_state=seed
    )
    return np.sort(remaining), np.sort(held_out)


def check_class_counts(labels: np.ndarray, names: tuple[str, ...], name: str) -> None:
    """Raises DataError unless every class has two training images, one for each half."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 2:
        label = int(counts.argmin())
        raise DataError(
            f"{name}: class {names[label]!r} has {counts[label]} of the {len(labels)} training "
            "images used, and two halves need at least 2; use more images (limit) or remove it."
        )


def check_all_classes(labels: np.ndarray, names: tuple[str, ...], name: str) -> None:
    """Raises DataError unless every class is in the training half."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 1:
        raise DataError(
            f"{name}: class {names[int(counts.argmin())]!r} is absent from the training half; set "
            "split_seed for a stratified split, or raise limit or train_fraction."
        )
