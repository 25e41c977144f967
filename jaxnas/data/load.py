"""Loading of a data set by its name."""

import os
import pathlib
import warnings
from collections.abc import Sequence

from jaxnas.data import dataset, digits, folder, npz, tfds
from jaxnas.data.images import DataError


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    train_fraction: float = 0.5,
    split_seed: int | None = None,
    image_size: int | None = None,
    limit: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> dataset.DataSet:
    """Reads `digits`, a `.npz` file, a folder of class folders, or a prepared TFDS set.

    `data_dir` is the folder of TFDS sets (None: TFDS's own default) and makes any name but
    `digits` and `*.npz` a TFDS name; the other settings are those of `dataset.assemble`.
    Raises DataError where the name, the settings or the data cannot be used.
    """
    # Pillow warns of blocks beside the pixels that it cannot read, without the picture's name;
    # pixels that it cannot read are errors.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        return dataset.assemble(
            _read(name, None if data_dir is None else os.path.expanduser(str(data_dir))),
            train_fraction=train_fraction,
            split_seed=split_seed,
            image_size=image_size,
            limit=limit,
            mean=mean,
            std=std,
        )


def _read(name: str, data_dir: str | None) -> dataset.Splits:
    path = pathlib.Path(os.path.expanduser(name))
    if data_dir is not None and (name == "digits" or path.suffix.lower() == ".npz"):
        raise DataError(f"data_dir is for TFDS sets and has no effect on {name}; leave it out.")
    if name == "digits":
        return digits.read()
    if path.suffix.lower() == ".npz":
        return npz.read(path)
    if data_dir is None and name and os.path.isdir(path):
        return folder.read(path)
    if path.is_absolute() or name.startswith((".", "~")):
        raise DataError(f"{path}: no such folder or .npz file; check the path.")
    return tfds.read(name, data_dir)
