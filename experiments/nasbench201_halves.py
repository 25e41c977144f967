"""The benchmark's halves of CIFAR-10: one trains the weights, the other the architecture."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxnas import data
from jaxnas.data import dataset


def halves(whole: data.DataSet, split: str | None, limit: int | None) -> data.DataSet:
    """`whole` in the halves that a file names, the first `limit` images of each.

    Without a file the halves are those of `whole`. Raises DataError for a file that does not
    name two equal halves of these images without a common one.
    """
    images = data.merge_train(whole)
    count = len(images.labels)
    if split is None:
        middle = len(whole.train.labels)
        train, valid = np.arange(middle), np.arange(middle, count)
    else:
        train, valid = _numbers(Path(split).expanduser(), count)
    if limit is not None:
        if limit > min(len(train), len(valid)):
            raise data.DataError(
                f"--limit is {limit} but a half has {min(len(train), len(valid))} images: lower it."
            )
        train, valid = train[:limit], valid[:limit]
    order = np.concatenate([train, valid])
    return dataset.assemble(
        dataset.Splits(
            whole.name,
            data.Images(images.inputs[order], images.labels[order]),
            whole.test,
            whole.class_names,
        ),
        # By index, of as many images in either half: a little more than the share, which is
        # rounded down.
        train_fraction=(len(train) + 0.5) / len(order),
    )


def _numbers(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        # np.load leaves a file that it opens itself open where the archive is broken.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            train, valid = archive["train"], archive["valid"]
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise data.DataError(
            f"{path} says no halves ({cause}): give a .npz with the lists train and valid."
        ) from error
    numbers = np.concatenate([train.ravel(), valid.ravel()])
    if numbers.dtype.kind not in "iu" or train.ndim != 1 or valid.ndim != 1 or not len(numbers):
        raise data.DataError(f"{path}: train and valid must be lists of whole numbers.")
    low, high = numbers.min(), numbers.max()
    if low < 0 or high >= count:
        raise data.DataError(
            f"{path} names image {high if high >= count else low}, but the "
            f"training images are 0 to {count - 1}: give the split of these images."
        )
    if len(np.unique(numbers)) < len(numbers):
        raise data.DataError(f"{path} names an image twice: the halves must share none.")
    return train, valid
