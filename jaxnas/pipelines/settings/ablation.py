"""The settings of `jaxnas ablate`, `jaxnas compare` and `jaxnas verify`."""

import dataclasses
from typing import Literal

import tyro.conf


@dataclasses.dataclass(frozen=True)
class AblateSettings:
    file: tyro.conf.Positional[str]
    """A TOML file of methods, settings, data and seeds (docs/ablations.md)."""
    dry_run: bool = False
    """Only print the plan, with the time and memory that it will take."""
    retry: bool = False
    """Run rows that failed again."""
    out: str | None = None
    """The folder of the ablation; by default runs/ and the file's name."""


@dataclasses.dataclass(frozen=True)
class CompareSettings:
    runs: tyro.conf.Positional[tuple[str, ...]]
    """Folders that jaxnas search, retrain or ablate wrote."""
    by: Literal["accuracy", "truth"] = "accuracy"
    """The figure: the test accuracy after retraining, or the true one by the benchmark's table."""
    baseline: str | None = None
    """A name of the table that all others are tested against; by default all pairs are tested."""
    out: str = "comparison"
    """The folder for compare.html and compare.csv; created if it is missing."""


@dataclasses.dataclass(frozen=True)
class VerifySettings:
    runs: tyro.conf.Positional[tuple[str, ...]]
    """A run folder, of which steps are run again; or two, whose first difference is named."""
    steps: int = 5
    """How many steps are run again."""
