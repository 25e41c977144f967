"""Searches CIFAR-10 with DARTS as the paper does, then retrains the cell.

python -m experiments.search --data-dir my_data

The same as `jaxnas search --data cifar10 --preset paper --retrain.preset paper --random-cells 0`:
50 epochs at 16 channels and 8 cells, then 600 epochs at 36 channels and 20 cells. It is meant for
a GPU; every setting is a flag, so that a CPU can try a part of it (`--limit`, `--epochs`).
"""

import sys
from collections.abc import Sequence

from jaxnas.pipelines import command_line, search
from jaxnas.pipelines.settings import DataSettings, Recipe, SearchSettings

PAPER = SearchSettings(
    source=DataSettings(data="cifar10"),
    preset="paper",
    random_cells=0,
    retrain=Recipe(preset="paper"),
)


def main(settings: SearchSettings = PAPER) -> None:
    search.main(settings)


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this experiment; gives its exit code."""
    title = (__doc__ or "").splitlines()[0]
    return command_line.run(main, PAPER, "experiments.search", title, argv)


if __name__ == "__main__":
    sys.exit(cli())
