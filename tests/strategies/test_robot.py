"""RoBoT: greedy by one score, the right weighting of several, scores that are missing."""

import numpy as np
import pytest

from jaxnas.strategies import strategy
from jaxnas.strategies.designs import design_space
from jaxnas.strategies.robot import robot
from tests.strategies.toys import SCORE

GRID = design_space.of_values({"x": tuple(range(20)), "y": tuple(range(20))})
COLUMNS = {
    "x": lambda designs: np.asarray(designs)[:, 0].astype(float),
    "minus_y": lambda designs: -np.asarray(designs)[:, 1].astype(float),
}
SPACE = GRID._replace(known=COLUMNS)


def test_with_one_score_it_is_greedy_by_it():
    made = robot(GRID._replace(known={"x": COLUMNS["x"]}), (SCORE,), explore=2)
    history = strategy.simulate(made, lambda designs: designs[:, :1], 25, seed=0)
    # Weightings of one score have two tops; then the best follow by the score: 19 and then 18.
    assert set(history.designs[2:21, 0]) == {19}
    assert set(history.designs[21:, 0]) == {18}


def test_finds_the_weighting_and_follows_it():
    truth = lambda designs: (3.0 * designs[:, 0] + designs[:, 1])[:, None]
    history = strategy.simulate(robot(SPACE, (SCORE,)), truth, 20, seed=0)
    assert history.values.max() == 4 * 19
    assert len(np.unique(history.designs, axis=0)) == 20
    assert history.values[12:].mean() > 60


def test_designs_without_a_score_come_last():
    odd = lambda designs: np.where(designs[:, 0] % 2, np.nan, designs[:, 0])
    made = robot(GRID._replace(known={"odd": odd}), (SCORE,), explore=0)
    history = strategy.simulate(made, lambda designs: designs[:, :1], 220, seed=0)
    assert (history.designs[:200, 0] % 2 == 0).all()
    assert (history.designs[200:, 0] % 2 == 1).all()


def test_spaces_and_scores_that_are_unknown_are_refused():
    with pytest.raises(ValueError, match="this space knows none"):
        robot(GRID, (SCORE,))
    with pytest.raises(ValueError, match="knows no score 'z', but x, minus_y"):
        robot(SPACE, (SCORE,), scores=("z",))
