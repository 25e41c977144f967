"""EEEA: nothing beyond the limit is ever asked for; without a limit it is refused."""

import numpy as np
import pytest

from jaxnas.strategies import goals, strategy
from jaxnas.strategies.eeea import eeea
from jaxnas.strategies.nsga2 import nsga2
from tests.strategies.toys import CELLS, COST, KNOWN, SCORE, score_and_cost

LIMIT = goals.parse("total<=8")


def values(designs):
    return np.concatenate([score_and_cost(designs), KNOWN["total"](designs)[:, None]], 1)


def test_no_design_beyond_the_limit_is_asked_for():
    wanted = (SCORE, COST, LIMIT)
    history = strategy.simulate(eeea(CELLS, wanted), values, 100, seed=0)
    assert len(history.designs) == 100
    assert KNOWN["total"](history.designs).max() <= 8
    plain = strategy.simulate(nsga2(CELLS, wanted), values, 100, seed=0)
    assert KNOWN["total"](plain.designs).max() > 8


def test_a_limit_that_all_keep_changes_nothing():
    wanted = (SCORE, COST, goals.parse("total<=100"))
    filtered, plain = (
        strategy.simulate(make(CELLS, wanted), values, 60, seed=0) for make in (eeea, nsga2)
    )
    np.testing.assert_array_equal(filtered.designs, plain.designs)


@pytest.mark.parametrize("wanted", [(SCORE, COST), (SCORE, goals.parse("cost<=3"))])
def test_without_a_limit_on_a_known_figure_it_is_refused(wanted):
    with pytest.raises(ValueError, match=r"known without an evaluation \(total, first\)"):
        eeea(CELLS, wanted)
