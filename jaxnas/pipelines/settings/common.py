"""Settings that several commands share: the data, and the folder and checkpoints of a run."""

import dataclasses
from typing import Literal

from jaxnas.pipelines.settings.limits import fail, require


@dataclasses.dataclass(frozen=True)
class DataSettings:
    data: str = "digits"
    """`digits` (built in), a `.npz` file, a folder of pictures by class, or a TFDS name."""
    data_dir: str | None = None
    """The folder of prepared TFDS sets."""
    limit: int | None = None
    """The first N training images and N // 5 test images only."""
    image_size: int | None = None
    """Scales every image to this many pixels a side."""


@dataclasses.dataclass(frozen=True)
class RunSettings:
    """Settings without effect on results."""

    out: str = "runs"
    """The folder of all runs."""
    name: str | None = None
    """The run's folder in it; by default named after the settings."""
    resume: bool = False
    """Resume an existing run; an error if there is none. (The same command resumes it, too.)"""
    save_every_s: float = 60.0
    """Seconds between checkpoints."""
    save_every_steps: int | None = None
    """Steps between checkpoints, in addition to the seconds."""
    keep: int = 2
    """Number of checkpoints that are kept."""
    mode: Literal["scan", "step"] | None = None
    """Steps in one program or one by one; by default the faster one on this device."""


def check(place: RunSettings) -> None:
    """Raises ValueError for times and counts that are not positive, and for invalid names."""
    require("--save-every-s", place.save_every_s, above=0)
    require("--save-every-steps", place.save_every_steps, minimum=1)
    require("--keep", place.keep, minimum=1)
    check_name(place.name)


def check_name(name: str | None) -> None:
    """Raises ValueError for a name that a folder in `--out` cannot have."""
    if name is not None and (not name or name.strip(".") == ""):
        fail(f"--name is {name!r}: give the run's folder a name.")
    if name is not None and any(c in name for c in "/\\\0"):
        fail(f"--name is {name!r}: a name has no slash; say where by --out.")
