"""Trains the DARTS paper's second-order cell on CIFAR-10 by the paper's protocol.

python -m experiments.retrain --data-dir my_data

The same as `jaxnas retrain DARTS_V2 --data cifar10 --preset paper`: 600 epochs of 520 steps, for
a GPU. The paper reports 97.24 +- 0.09 % for this cell (its table 1; not measured here).
"""

import tyro

from jaxnas.cli import retrain
from jaxnas.settings import Recipe, RetrainSettings, Source

PAPER = RetrainSettings(
    genotype="DARTS_V2", source=Source(data="cifar10"), recipe=Recipe(preset="paper")
)


def main(settings: RetrainSettings = PAPER) -> None:
    retrain.main(settings)


if __name__ == "__main__":
    main(tyro.cli(RetrainSettings, default=PAPER, config=(tyro.conf.DisallowNone,)))
