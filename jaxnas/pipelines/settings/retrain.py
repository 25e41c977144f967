"""The settings of `jaxnas retrain`."""

import dataclasses
from typing import Annotated

import tyro.conf

from jaxnas.pipelines.settings import common
from jaxnas.pipelines.settings.common import DataSettings, RunSettings
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.pipelines.settings.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class RetrainSettings:
    genotype: tyro.conf.Positional[str]
    """A genotype.json, a run folder, or a published name such as DARTS_V2."""
    source: Annotated[DataSettings, tyro.conf.arg(name="")] = DataSettings()
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe()
    space: str | None = None
    """The file `*.py` that defines the genotype's operations, if they are your own."""
    seed: int = 0
    """Of the weights, the order of images and their augmentation."""
    devices: int | None = None
    """Devices that share each batch; by default all of an accelerator where the batch divides."""
    place: Annotated[RunSettings, tyro.conf.arg(name="")] = RunSettings()


def check(settings: RetrainSettings) -> None:
    """Raises ValueError for settings that are invalid for any data."""
    common.check(settings.place)
    if settings.space is not None and not settings.space.lower().endswith(".py"):
        fail(f"--space is {settings.space!r}: give a file *.py, or leave it out.")
    require("--seed", settings.seed, minimum=0, below=2**32)
