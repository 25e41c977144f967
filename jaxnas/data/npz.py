"""Reader of a data set in one `.npz` file."""

import os
import pathlib
import zipfile
import zlib

import numpy as np

from jaxnas.data import dataset
from jaxnas.data.images import DataError, as_images

REQUIRED = ("x_train", "y_train")
OPTIONAL = ("x_test", "y_test", "class_names", "layout")


def read(path: pathlib.Path) -> dataset.Splits:
    """x_train, y_train and optionally x_test, y_test, class_names, layout; see `images.as_images`.

    Raises DataError for a missing, broken or pickled file, and for missing or unknown keys.
    """
    arrays = _arrays(path)
    missing = [key for key in REQUIRED if key not in arrays]
    unknown = [key for key in arrays if key not in REQUIRED + OPTIONAL]
    if missing or unknown:
        unexpected = [f"lacks {key}" for key in missing] + [
            f"has unknown {key!r}" for key in unknown
        ]
        raise DataError(
            f"{path}: {', '.join(unexpected)}; the keys are {', '.join(REQUIRED)} and optionally "
            f"{', '.join(OPTIONAL)}."
        )
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise DataError(f"{path}: x_test and y_test belong together; store both or neither.")
    layout = None if "layout" not in arrays else str(arrays["layout"])
    train = as_images(arrays["x_train"], arrays["y_train"], f"{path}, x_train and y_train", layout)
    test = None
    if "x_test" in arrays:
        test = as_images(arrays["x_test"], arrays["y_test"], f"{path}, x_test and y_test", layout)
    return dataset.Splits(path.stem, train, test, _names(arrays.get("class_names"), path))


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; check the path.")
    broken = (OSError, ValueError, EOFError, KeyError, OverflowError, NotImplementedError)
    try:
        # np.load leaves a file that it opens itself open where the archive is broken.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: a single array; store several by np.savez_compressed.")
            with archive:
                return {key: archive[key] for key in archive.files}
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(
            f"{path}: its arrays do not fit into memory, or its headers are broken; "
            "store fewer images, or stream them from Python (data.stream)."
        ) from error
    except (*broken, zipfile.BadZipFile, zlib.error) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(
            f"{path}: no readable .npz file ({cause}); write it again with np.savez_compressed, "
            "with plain arrays only (no objects)."
        ) from error


def _names(names: np.ndarray | None, path: pathlib.Path) -> tuple[str, ...] | None:
    if names is None:
        return None
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(
            f"{path}: class_names must be strings, one a class, "
            f"not {names.dtype} of shape {names.shape}."
        )
    return tuple(names.tolist())
