"""The settings of `jaxnas narrow`."""

import dataclasses
from typing import Annotated

import tyro.conf

from jaxnas.pipelines.settings import common
from jaxnas.pipelines.settings.common import DataSettings, RunSettings
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.pipelines.settings.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class NarrowSettings:
    genotype: tyro.conf.Positional[str]
    """A genotype.json, the run folder of a search, or a published genotype's name."""
    macs: int | None = None
    """Maximum multiply-accumulates of one image."""
    target_ms: float | None = None
    """Maximum milliseconds of one image on this device; the network is timed as it shrinks."""
    held_out: float = 0.2
    """Share of the training images that are held out to score proposals."""
    short_steps: int = 20
    """Training steps of each proposal before it is scored."""
    short_rate: float = 0.01
    """Learning rate of these steps."""
    first: float = 0.03
    """Share of the cost that the first step saves."""
    decay: float = 0.96
    """Ratio of a step's saving to the previous one's."""
    multiple: int = 4
    """All remaining widths are multiples of this: odd widths are slow on most devices, and DARTS's
    reductions make channels in two halves."""
    tune_epochs: int | None = None
    """Passes over the training set for the narrowed network; by default as many as before."""
    source: Annotated[DataSettings, tyro.conf.arg(name="")] = DataSettings()
    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = Recipe()
    seed: int = 0
    """Of the weights, the order of images and their augmentation."""
    place: Annotated[RunSettings, tyro.conf.arg(name="")] = RunSettings()


def check(settings: NarrowSettings) -> None:
    """Raises ValueError for settings that are invalid for any data."""
    common.check(settings.place)
    if (settings.macs is None) == (settings.target_ms is None):
        fail("Say how narrow: give --macs or --target-ms, one of them.")
    require("--macs", settings.macs, minimum=1)
    require("--target-ms", settings.target_ms, above=0)
    require("--held-out", settings.held_out, above=0, below=1)
    require("--short-steps", settings.short_steps, minimum=1)
    require("--short-rate", settings.short_rate, above=0)
    require("--first", settings.first, above=0, below=1)
    require("--decay", settings.decay, above=0)
    if settings.decay > 1:
        fail(f"--decay is {settings.decay}: a step saves no more than the one before it.")
    require("--multiple", settings.multiple, minimum=1)
    require("--tune-epochs", settings.tune_epochs, minimum=1)
    require("--seed", settings.seed, minimum=0, below=2**32)
    if settings.recipe.ema is not None:
        fail("--ema has no effect here: narrowing starts from the weights themselves.")
