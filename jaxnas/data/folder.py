"""Reader of a folder with one folder of pictures a class, as torchvision's ImageFolder."""

import pathlib

import numpy as np

from jaxnas.data import dataset, image_io
from jaxnas.data.images import DataError
from jaxnas.data.lazy_images import LazyImages

TEST_NAMES = ("test", "val", "valid", "validation")
Listing = list[tuple[pathlib.Path, int]]


def read(root: pathlib.Path) -> dataset.Splits:
    """root/train/<class>/* with root/test/<class>/*, or root/<class>/* with no test set.

    Without a folder `test`, the first of val, valid, validation is the test set.
    Classes are in the order of their names. Images of the classes alternate: the first N have all
    classes in equal shares, and so have halves by index.
    If any picture has colours, grey ones get three equal channels; otherwise all stay grey.
    Hidden files are left out; any other file must be a picture. Raises DataError.
    """
    train, test = root, None
    if (root / "train").is_dir():
        train = root / "train"
        test = next((root / name for name in TEST_NAMES if (root / name).is_dir()), None)
    names = tuple(path.name for path in _entries(train))
    if not names:
        raise DataError(
            f"{train}: empty; put one folder of pictures a class into it ({train.name}/<class>/*)."
        )
    listings = [_listing(folder, names) for folder in (train, test) if folder is not None]
    # A list, since every header must be read: `any` on a generator would stop at the first colour.
    colours = [image_io.is_colour(path) for listing in listings for path, _ in listing]
    channels = 3 if any(colours) else 1
    train_images, *test_images = (_lazy_images(listing, channels) for listing in listings)
    return dataset.Splits(
        root.resolve().name, train_images, test_images[0] if test else None, names
    )


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: no folder that can be read ({error.strerror}).") from error


def _listing(folder: pathlib.Path, names: tuple[str, ...]) -> Listing:
    """The paths and labels of all pictures, the classes alternating."""
    paths_of_classes = []
    for path in _entries(folder):
        if not path.is_dir():
            raise DataError(
                f"{path}: a file where folders of classes are expected; the layout is "
                f"{folder.name}/<class>/*.png, remove or move it."
            )
        if path.name not in names:
            raise DataError(f"{path}: no training folder has this class; add one or remove it.")
        label = names.index(path.name)
        paths_of_classes += [(turn, label, path) for turn, path in enumerate(_entries(path))]
    if not paths_of_classes:
        raise DataError(f"{folder}: its folders hold no pictures.")
    return [(path, label) for _, label, path in sorted(paths_of_classes)]


def _lazy_images(listing: Listing, channels: int) -> LazyImages:
    labels = np.array([label for _, label in listing], np.int32)
    return LazyImages(
        labels, lambda i: image_io.decode(listing[i][0], channels, str(listing[i][0]))
    )
