"""Splits of images into training, validation and test sets, by index or stratified."""

import numpy as np

from jaxnas.data.images import AbsentClassError, DataError

# Halves by index of shuffled images have a class of this many expected images a quarter as often
# by chance in one of a million sets.
EXPECTED, LEAST_SHARE = 16, 0.25


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
    labels: np.ndarray, count: int, name: str, seed: int = 0, minimum: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the remaining images and of `count` held out, stratified by class; ascending.

    Every class has `minimum` remaining images or more, and one held out. Raises DataError for a
    class of fewer images, too few images in all, and a seed out of range.
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
    counts = lambda part: np.bincount(labels[part], minlength=labels.max() + 1)[present]
    if counts(held_out).min() < 1 or counts(remaining).min() < minimum:
        # scikit-learn rounds the share of a rare class to nothing.
        shares = _shares(occurrences, count, np.maximum(occurrences - minimum, 0))
        random = np.random.default_rng(seed)
        held_out = np.concatenate(
            [
                random.permutation(np.flatnonzero(labels == label))[:share]
                for label, share in zip(present, shares, strict=True)
            ]
        )
        remaining = np.setdiff1d(np.arange(len(labels)), held_out)
    return np.sort(remaining), np.sort(held_out)


def first_of_all(labels: np.ndarray, count: int) -> np.ndarray:
    """Ascending indices of the first `count` images, or of more where there are more classes.

    Where these lack a class that occurs, the first images of every class in proportion.
    """
    present, occurrences = np.unique(labels, return_counts=True)
    count = min(max(count, len(present)), len(labels))
    if len(np.unique(labels[:count])) == len(present):
        return np.arange(count)
    shares = _shares(occurrences, count, occurrences)
    firsts = [
        np.flatnonzero(labels == label)[:share]
        for label, share in zip(present, shares, strict=True)
    ]
    return np.sort(np.concatenate(firsts))


def check_class_counts(labels: np.ndarray, names: tuple[str, ...], name: str) -> None:
    """Raises DataError unless every class has two training images, one for each half."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 2:
        label = int(counts.argmin())
        raise DataError(
            f"{name}: class {names[label]!r} has {counts[label]} of the {len(labels)} training "
            "images used, and two halves need at least 2; use more images (--limit) or remove it."
        )


def check_can_be_tested(labels: np.ndarray, names: tuple[str, ...], name: str) -> None:
    """Raises DataError unless every class has three images: one to test, one for each half."""
    counts = np.bincount(labels, minlength=len(names))
    if 2 <= counts.min() < 3:
        raise DataError(
            f"{name}: class {names[int(counts.argmin())]!r} has 2 images, and the two halves and "
            "the test part need one each; add images, or give a test part."
        )


def check_all_classes(
    labels: np.ndarray, names: tuple[str, ...], name: str, part: str = "training half"
) -> None:
    """Raises AbsentClassError unless every class is in a half."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 1:
        raise AbsentClassError(
            f"{name}: class {names[int(counts.argmin())]!r} is absent from the {part}; set "
            "split_seed for a stratified split (--split-seed 0), or raise --limit or "
            "--train-fraction."
        )


def check_even(first: np.ndarray, second: np.ndarray, names: tuple[str, ...], name: str) -> None:
    """Raises AbsentClassError for a class that is nearly absent from a half by index.

    first, second: the labels of the halves. Such a set is sorted in part.
    """
    counts = np.stack([np.bincount(half, minlength=len(names)) for half in (first, second)])
    sizes = counts.sum(1, keepdims=True)
    expected = counts.sum(0) * sizes / sizes.sum()
    rare = (expected >= EXPECTED) & (counts < LEAST_SHARE * expected)
    if rare.any():
        half, label = np.argwhere(rare)[0]
        raise AbsentClassError(
            f"{name}: class {names[label]!r} has {counts[half, label]} of {sizes[half, 0]} images "
            f"in one half, {counts[1 - half, label]} of {sizes[1 - half, 0]} in the other: the "
            "images are sorted; set split_seed for a stratified split (--split-seed 0)."
        )


def check_tested(labels: np.ndarray, names: tuple[str, ...], name: str, part: str) -> None:
    """Raises DataError unless every class is in the test part, or in the validation part."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 1:
        raise DataError(
            f"{name}: class {names[int(counts.argmin())]!r} has no image in the {part}, so that "
            f"nothing is known of it; add some, or leave the {part} out and a share of the "
            "training images takes its place."
        )


def _shares(occurrences: np.ndarray, count: int, maxima: np.ndarray) -> np.ndarray:
    """i64[classes]: `count` divided in proportion, each at least 1 and at most `maxima`."""
    ideal = count * occurrences / occurrences.sum()
    shares = np.clip(np.floor(ideal).astype(int), 1, maxima)
    while shares.sum() < count:
        shares[np.argmax(np.where(shares < maxima, ideal - shares, -np.inf))] += 1
    while shares.sum() > count:
        shares[np.argmax(np.where(shares > 1, shares - ideal, -np.inf))] -= 1
    return shares
