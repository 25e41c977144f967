"""Reader of a folder with one folder of pictures a class, as torchvision's ImageFolder."""

import pathlib
from typing import NamedTuple

import numpy as np

from jaxnas.data import dataset, image_io
from jaxnas.data.images import DataError
from jaxnas.data.lazy_images import LazyImages

# In any case of letters. Without a test folder the validation folder is the test part.
TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "tests", "testing")
VALID_NAMES = ("val", "valid", "validation", "dev")
# What systems and programs leave in folders, beside hidden files; in small letters.
LEFT_OVER = (
    "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir", "#recycle",
    "@recycle", "$recycle.bin", "system volume information", "lost+found",
)  # fmt: skip
Listing = list[tuple[pathlib.Path, int]]


class Parts(NamedTuple):
    """The folders of a data set, each with a folder a class."""

    train: pathlib.Path
    valid: pathlib.Path | None
    test: pathlib.Path | None


def read(root: pathlib.Path) -> dataset.Splits:
    """root/train/<class>/* with root/test/<class>/* and root/val/<class>/*, or root/<class>/*.

    The parts may be called by any of TRAIN_NAMES, TEST_NAMES and VALID_NAMES. Without a test folder
    `val` is the test set, beside one it is the validation part. Classes are in the order of their
    names. Images of the classes alternate in proportion: the first N have all classes in their
    shares, and so have halves by index. If any picture has colours, grey ones get three equal
    channels; otherwise all stay grey. Hidden files and LEFT_OVER are left out; any other file must
    be a picture. Raises DataError.
    """
    parts = _parts(root)
    names = tuple(path.name for path in _entries(parts.train))
    if not names:
        raise DataError(
            f"{parts.train}: empty; put one folder of pictures a class into it "
            f"({parts.train.name}/<class>/*)."
        )
    listings = [part and _listing(part, names) for part in parts]
    # A list, since every header must be read: `any` on a generator would stop at the first colour.
    colours = [image_io.is_colour(path) for listing in listings if listing for path, _ in listing]
    channels = 3 if any(colours) else 1
    train, valid, test = (listing and _lazy_images(listing, channels) for listing in listings)
    return dataset.Splits(root.resolve().name, train, test, names, valid)


def _parts(root: pathlib.Path) -> Parts:
    """The folders of the parts. Raises DataError for folders beside them, which nobody reads."""
    folders = [path for path in _entries(root) if path.is_dir()]
    train = _part(root, folders, TRAIN_NAMES)
    # A class may be called train: it holds pictures, and no folders of them.
    if train is None or not any(path.is_dir() for path in _entries(train)):
        return Parts(root, None, None)
    test, valid = (_part(root, folders, names) for names in (TEST_NAMES, VALID_NAMES))
    unused = [path.name for path in folders if path not in (train, test, valid)]
    if unused:
        raise DataError(
            f"{root}: the folders {', '.join(unused)} beside {train.name} are none of train, val, "
            "test, and nothing would read them; rename them, or move them elsewhere."
        )
    return Parts(train, None, valid) if test is None else Parts(train, valid, test)


def _part(
    root: pathlib.Path, folders: list[pathlib.Path], names: tuple[str, ...]
) -> pathlib.Path | None:
    found = [path for path in folders if path.name.lower() in names]
    if len(found) > 1:
        raise DataError(
            f"{root}: {' and '.join(path.name for path in found)} are the same part by their "
            "names; keep one."
        )
    return found[0] if found else None


def _entries(folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        return sorted(
            path
            for path in folder.iterdir()
            if not path.name.startswith(".") and path.name.lower() not in LEFT_OVER
        )
    except OSError as error:
        raise DataError(f"{folder}: no folder that can be read ({error.strerror}).") from error


def _listing(folder: pathlib.Path, names: tuple[str, ...]) -> Listing:
    """The paths and labels of all pictures, the classes alternating in proportion."""
    pictures = []
    for path in _entries(folder):
        if not path.is_dir():
            raise DataError(
                f"{path}: a file where folders of classes are expected; the layout is "
                f"{folder.name}/<class>/*.png, remove or move it."
            )
        if path.name not in names:
            raise DataError(f"{path}: no training folder has this class; add one or remove it.")
        label, entries = names.index(path.name), _entries(path)
        _check_depth(path, entries)
        # The middles of as many equal parts as the class has pictures.
        pictures += [
            ((2 * i + 1) / (2 * len(entries)), label, entry) for i, entry in enumerate(entries)
        ]
    if not pictures:
        raise DataError(f"{folder}: its folders hold no pictures.")
    return [(path, label) for _, label, path in sorted(pictures)]


def _check_depth(path: pathlib.Path, entries: list[pathlib.Path]) -> None:
    """Raises DataError for a folder within the folder of a class."""
    inner = [entry for entry in entries if entry.is_dir()]
    if not inner:
        return
    if len(inner) == len(entries):
        raise DataError(
            f"{inner[0]}: no picture but a folder; pictures lie one folder deeper: give {path}, or "
            f"move the folders in {path.name} up."
        )
    raise DataError(
        f"{inner[0]}: no picture but a folder, in the folder of a class; move its pictures up, or "
        "remove it."
    )


def _lazy_images(listing: Listing, channels: int) -> LazyImages:
    labels = np.array([label for _, label in listing], np.int32)
    return LazyImages(
        labels,
        lambda i: image_io.decode(listing[i][0], channels, str(listing[i][0])),
        lambda i: "/".join(listing[i][0].parts[-2:]),
    )
