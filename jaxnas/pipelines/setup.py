"""What every run begins with: its images, its folder, its policy of saving."""

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


def images(found: data.DataSet) -> str:
    """How many images of what size and how many classes, in words."""
    height, width, channels = found.train.inputs.shape[1:]
    count = len(found.train.labels) + len(found.valid.labels)
    kind = {1: "grey ", 3: "colour "}.get(channels, "")
    return (
        f"{count:,} {kind}images of {height}x{width} to learn from, {len(found.test.labels):,} "
        f"to test on, {len(found.class_names)} classes"
    )


def label(name: str) -> str:
    """A name that may be a path, as a part of a folder's name."""
    stem = name if name.count("/") == 1 and not Path(name).exists() else Path(name).name
    return re.sub(r"[^A-Za-z0-9_-]+", "-", stem.removesuffix(".npz")).strip("-") or "run"


def folder(place: RunSettings, name: str) -> Path:
    """The run's folder. Raises RunError where `--resume` finds nothing to go on with."""
    chosen = Path(place.out).expanduser() / (place.name or name)
    if place.resume and not (chosen / "settings.json").exists():
        raise run.RunError(
            f"There is no run in {chosen} to go on with: leave --resume out, or give the --name "
            "and --out it was started with."
        )
    return chosen


def checkpoints(place: RunSettings) -> run.SavePolicy:
    """When checkpoints are written, and how many stay."""
    return run.SavePolicy(place.save_every_steps, place.save_every_s, place.keep)
