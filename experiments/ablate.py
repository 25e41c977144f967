"""Compares orders of the architecture's gradient on NAS-Bench-201's space, several seeds each.

python -m experiments.ablate --seeds 0 1 2

What `jaxnas ablate` does with a file of TOML, with a table in Python: copy this file and change it.
Rows that are there are not run again; table.csv, table.parquet and report.html are in the folder
of the ablation (docs/ablations.md).
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxnas.pipelines import command_line
from jaxnas.pipelines.ablation import ablate, ablation_file

TABLE = {
    "methods": ["darts", "darts-exact", "darts-fd", "random"],
    "baseline": "random",
    "trainings": 2,  # of each found cell: what of the spread is the search's
    "settings": {"data": "digits", "space": "nasbench201", "random_cells": 3},
}


@dataclasses.dataclass(frozen=True)
class Settings:
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a row."""
    epochs: int | None = None
    """Of each search and of each training; by default the preset's."""
    out: str = "runs/orders"
    """The ablation's folder."""
    dry_run: bool = False
    """Only print the plan, with the time and memory that it will take."""


def main(settings: Settings) -> Path:
    """Runs the ablation, from wherever it was left; returns its folder. Raises ValueError."""
    own = TABLE["settings"]
    if settings.epochs is not None:
        own = own | {"epochs": settings.epochs, "retrain": {"epochs": settings.epochs}}
    table = TABLE | {"seeds": list(settings.seeds), "settings": own}
    file = ablation_file.parse(Path("experiments.ablate"), table, json.dumps(table, indent=2))
    return ablate.start(file, Path(settings.out).expanduser(), dry_run=settings.dry_run)


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this experiment; gives its exit code."""
    title = (__doc__ or "").splitlines()[0]
    return command_line.run(main, Settings(), "experiments.ablate", title, argv)


if __name__ == "__main__":
    sys.exit(cli())
