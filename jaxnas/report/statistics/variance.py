"""Components of variance: of the search, between cells, and of evaluation, between trainings."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats


class VarianceComponents(NamedTuple):
    """Standard deviations of one training of one cell, taken apart; NaN where undetermined."""

    cells: int
    trainings: int  # of all cells
    search_sd: float  # between cells, that of training taken off; 0 where none is left
    evaluation_sd: float  # between trainings of one cell
    share: float  # of the variance that is the search's
    p: float  # that all cells are equally good: F test


def components(cells: Sequence[Sequence[float]]) -> VarianceComponents:
    """The components from several trainings of each of several cells: one-way random effects.

    By the method of moments (Searle, Casella and McCulloch 1992, "Variance components", 3.6):
    `evaluation_sd`^2 is the mean square within cells, `search_sd`^2 = (mean square between cells -
    that within) / n0, with n0 the trainings of a cell where those are equally many. Cells may have
    different numbers of trainings, single ones too.
    """
    cells = [np.asarray(cell, float) for cell in cells if len(cell)]
    sizes = np.array([len(cell) for cell in cells], float)
    total = int(sizes.sum())
    if not len(cells) or total == len(cells):  # no cell was trained twice
        return VarianceComponents(len(cells), total, *[math.nan] * 4)
    within = sum(((cell - cell.mean()) ** 2).sum() for cell in cells) / (total - len(cells))
    if len(cells) < 2:
        return VarianceComponents(1, total, math.nan, math.sqrt(within), math.nan, math.nan)
    grand = sum(cell.sum() for cell in cells) / total
    between = sum(len(cell) * (cell.mean() - grand) ** 2 for cell in cells) / (len(cells) - 1)
    n0 = (total - (sizes**2).sum() / total) / (len(cells) - 1)
    search = max(0.0, (between - within) / n0)
    everything = search + within
    share = search / everything if everything else math.nan
    p = math.nan
    if within > 0:
        p = float(scipy.stats.f.sf(between / within, len(cells) - 1, total - len(cells)))
    return VarianceComponents(
        len(cells), total, math.sqrt(search), math.sqrt(within), float(share), p
    )
