"""Trains the DARTS paper's second-order cell on CIFAR-10 by the paper's protocol.

python -m experiments.retrain --data-dir my_data

The same as `jaxnas retrain DARTS_V2 --data cifar10 --preset paper`: 600 epochs of 520 steps, for
a GPU. The paper reports 97.24 +- 0.09 % for this cell (its table 1; not measured here).
"""

import sys
from collections.abc import Sequence

from jaxnas.pipelines import command_line, retrain
from jaxnas.pipelines.settings import DataSettings, Recipe, RetrainSettings

PAPER = RetrainSettings(
    genotype="DARTS_V2", source=DataSettings(data="cifar10"), recipe=Recipe(preset="paper")
)


def main(settings: RetrainSettings = PAPER) -> None:
    retrain.main(settings)


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this experiment; gives its exit code."""
    title = (__doc__ or "").splitlines()[0]
    return command_line.run(main, PAPER, "experiments.retrain", title, argv)


if __name__ == "__main__":
    sys.exit(cli())
