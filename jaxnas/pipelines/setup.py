"""The images, the folder and the checkpoint policy of a run."""

import re
from pathlib import Path

from jaxnas import data, run
from jaxnas.pipelines.settings import DataSettings, RunSettings


def load(
    source: DataSettings, train_fraction: float = 0.5, split_seed: int | None = None
) -> data.DataSet:
    """The data set that a source names. Raises DataError."""
    return data.load(
        source.data,
        data_dir=source.data_dir,
        limit=source.limit,
        image_size=source.image_size,
        train_fraction=train_fraction,
        split_seed=split_seed,
    )


def images(dataset: data.DataSet) -> str:
    """The number of images, their size and the number of classes, as text."""
    height, width, channels = dataset.train.inputs.shape[1:]
    count = len(dataset.train.labels) + len(dataset.valid.labels)
    kind = {1: "grey ", 3: "colour "}.get(channels, "")
    return (
        f"{count:,} {kind}images of {height}x{width} to learn from, {len(dataset.test.labels):,} "
        f"to test on, {len(dataset.class_names)} classes"
    )


def label(name: str) -> str:
    """A part of a folder's name, made of a name or a path."""
    stem = name if name.count("/") == 1 and not Path(name).exists() else Path(name).name
    stem = stem[:-4] if stem.lower().endswith(".npz") else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "run"


def folder(place: RunSettings, name: str) -> Path:
    """The run's folder. Raises RunError for `--resume` without a run."""
    path = Path(place.out).expanduser() / (place.name or name)
    if place.resume and not (path / "settings.json").exists():
        raise run.RunError(
            f"There is no run in {path} to go on with: leave --resume out, or give the --name "
            "and --out it was started with."
        )
    return path


def checkpoints(place: RunSettings) -> run.SavePolicy:
    """When checkpoints are written, and how many are kept."""
    return run.SavePolicy(place.save_every_steps, place.save_every_s, place.keep)
