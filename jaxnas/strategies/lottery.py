"""The hyper-parameter lottery: how much settings matter beside the choice of a strategy.

ArchGym, https://arxiv.org/abs/2306.08888, section 6: with tuned settings all agents do as well.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Lottery(NamedTuple):
    """Results of strategies x settings x seeds; larger is better."""

    best: Mapping[str, float]  # of each strategy, the mean over seeds of its best setting
    within: Mapping[str, float]  # the range over its settings of the means over seeds
    noise: Mapping[str, float]  # the standard error of the mean of its best setting
    between: float  # the range over strategies of `best`

    @property
    def settings_matter_more(self) -> bool:
        """Whether the best settings of any two strategies are nearer than either's settings."""
        return self.between < min(self.within.values())


def lottery(results: Mapping[str, np.ndarray]) -> Lottery:
    """Of the results f64[settings, seeds] of each strategy.

    Raises ValueError for fewer than two strategies, settings of one, or seeds.
    """
    small = [name for name, table in results.items() if min(np.shape(table)) < 2]
    if len(results) < 2 or small:
        name = small[0] if small else "the comparison"
        raise ValueError(
            f"{name} is too small: give two strategies or more, each with two settings and seeds."
        )
    means = {name: np.mean(table, 1) for name, table in results.items()}
    first = {name: int(mean.argmax()) for name, mean in means.items()}
    best = {name: float(mean.max()) for name, mean in means.items()}
    noise = {
        name: float(np.std(table[first[name]], ddof=1) / np.sqrt(np.shape(table)[1]))
        for name, table in results.items()
    }
    within = {name: float(np.ptp(mean)) for name, mean in means.items()}
    return Lottery(best, within, noise, max(best.values()) - min(best.values()))


def markdown(found: Lottery) -> str:
    """A table, a strategy a row, and the verdict below."""
    lines = ["| strategy | best setting | range over settings |", "|---|---|---|"]
    lines += [
        f"| {name} | {found.best[name]:.4g} ± {found.noise[name]:.2g} | {found.within[name]:.2g} |"
        for name in found.best
    ]
    verdict = "more" if found.settings_matter_more else "no more"
    lines += ["", f"Between best settings: {found.between:.2g}. Settings matter {verdict} than the "
              "choice of the strategy."]  # fmt: skip
    return "\n".join(lines)
