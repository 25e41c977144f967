"""The settings of `jaxnas export` and `jaxnas predict`."""

import dataclasses
from typing import Literal

import tyro.conf


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    run: tyro.conf.Positional[str]
    """The folder of a finished run (search, retrain or narrow), or the genotype.json in it."""
    to: tuple[Literal["stablehlo", "onnx", "flax"], ...]
    """The formats, one or more: docs/export.md says which is for what."""
    out: str | None = None
    """The folder for the files; by default `export` in the run's."""
    data: str | None = None
    """Where the test images lie now, if not where the run had them."""
    data_dir: str | None = None
    """The folder of prepared TFDS sets, if not the run's."""


@dataclasses.dataclass(frozen=True)
class ClassifySettings:
    export: tyro.conf.Positional[str]
    """A file *.onnx or *.zip that jaxnas export wrote, or its folder `flax`, whose code is run."""
    images: tyro.conf.Positional[tuple[str, ...]]
    """Pictures."""
    top: int = 1
    """How many classes to print, the likeliest first."""
    json: bool = False
    """Print JSON."""
