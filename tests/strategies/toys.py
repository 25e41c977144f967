"""Design spaces and values for tests of strategies."""

import numpy as np
import pytest

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.spaces import genome, registry
from jaxnas.strategies.designs import design_space, networks
from jaxnas.strategies.goals import Goal
from tests import paths

# What is known of designs without an evaluation: how large their indices are, and the first.
KNOWN = {
    "total": lambda designs: np.asarray(designs).sum(1).astype(float),
    "first": lambda designs: np.asarray(designs)[:, 0].astype(float),
}
CELLS = networks.of_space(registry.get("nasbench201"))._replace(known=KNOWN)
TEN = design_space.of_values({"a": (1, 2, 3, 4, 5), "b": ("x", "y")})._replace(known=KNOWN)
VALUES = design_space.of_values({"x": (1, 2, 3, 4, 5, 6), "y": (1, 2, 3, 4, 5)})
SCORE, COST = Goal("score", 1), Goal("cost", -1)


def score_and_cost(designs):
    """f64[N, 2]: more of large indices scores more and costs more; every fifth design fails."""
    designs = np.asarray(designs)
    score = designs @ np.arange(1, designs.shape[1] + 1)
    values = np.stack([score, (designs**2).sum(1) + designs[:, 0]], 1).astype(float)
    values[score % 5 == 4] = np.nan
    return values


def table():
    """The table of NAS-Bench-201, and the row of designs in it; skips where it is missing."""
    path = paths.SHARED / "nasbench" / "nb201.npz"
    if not path.exists():
        pytest.skip(f"no table of NAS-Bench-201: {path}")
    truth = benchmark.load(path)
    choices = registry.get("nasbench201").choices
    return truth, lambda designs: truth.row_of[genome.index(choices, designs)]
