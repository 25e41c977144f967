"""`network.json`: what a trained network's folder says of it beside its settings and weights."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas import run
from jaxnas.data import DataSet, Images

NETWORK, SUMMARY, EXPORTS = "network.json", "summary.json", "exports"
FORMAT = 1


class NetworkRecord(NamedTuple):
    """A trained network, from which `trained.load` builds it again."""

    space: str  # its name, or the file *.py that defines it
    pruned: str | None  # of `Prunable.to_text`, after `jaxnas narrow`
    image: tuple[int, int, int]  # height, width, channels
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # of the channels, in [0, 1] units
    std: tuple[float, ...]
    images: int  # that it was trained on
    data: Mapping[str, Any] | None  # the flags that name the data; None: made in Python
    test_sha256: str  # of the test images and labels


def of_dataset(dataset: DataSet, space: str, pruned: str | None, source: Any) -> NetworkRecord:
    """The record of a network trained on all training images of a set; `source`: its flags."""
    return NetworkRecord(
        space, pruned, tuple(dataset.train.inputs.shape[1:]), dataset.class_names,
        tuple(map(float, dataset.mean)), tuple(map(float, dataset.std)),
        len(dataset.train.labels) + len(dataset.valid.labels), source, digest(dataset.test),
    )  # fmt: skip


def digest(images: Images) -> str:
    """SHA-256 of images and labels."""
    sha = hashlib.sha256(f"{images.inputs.shape}".encode())
    for array in images:
        sha.update(np.ascontiguousarray(array))
    return sha.hexdigest()


def write(folder: Path, record: NetworkRecord) -> None:
    """Writes the file, unless it is there. Raises RunError."""
    if not (folder / NETWORK).exists():
        table = {"jaxnas_network": FORMAT} | record._asdict()
        run.write_text(folder / NETWORK, json.dumps(table, indent=1) + "\n")


def read(folder: Path) -> NetworkRecord:
    """The record in a folder. Raises RunError where there is none, or a damaged one."""
    path = folder / NETWORK
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table.pop("jaxnas_network") != FORMAT:
            raise ValueError("it is of another version of jaxnas")
        lists = {name: tuple(table[name]) for name in ("image", "class_names", "mean", "std")}
        return NetworkRecord(**(table | lists))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise run.RunError(
            f"Cannot read {path} ({reason}): run the command that trained the network again; it "
            "only writes what is missing."
        ) from error


def write_summary(folder: Path, record: Mapping[str, Any]) -> None:
    """Writes `summary.json`; the figures of exports stay in it. Raises RunError."""
    path = folder / SUMMARY
    try:
        exports = json.loads(path.read_text(encoding="utf-8")).get(EXPORTS)
    except (OSError, ValueError, AttributeError):
        exports = None
    kept = {EXPORTS: exports} if exports and EXPORTS not in record else {}
    run.write_text(path, json.dumps({**record, **kept}, indent=2) + "\n")
