"""Goals: words, order, fronts, hypervolume, against worked examples."""

import math

import numpy as np
import pytest

from jaxnas.strategies import goals
from jaxnas.strategies.goals import Goal

ACCURACY, LATENCY = Goal("accuracy", 1), Goal("latency_ms", -1)
BOTH = (ACCURACY, LATENCY)


@pytest.mark.parametrize(
    ("words", "goal"),
    [
        ("max:accuracy", Goal("accuracy", 1)),
        ("min:latency_ms<=8", Goal("latency_ms", -1, at_most=8.0)),
        ("parameters<=3e+06", Goal("parameters", 0, at_most=3e6)),
        ("accuracy>=0.5", Goal("accuracy", 0, at_least=0.5)),
    ],
)
def test_goals_in_words(words, goal):
    assert goals.parse(words) == goal
    assert goals.text(goal) == words


@pytest.mark.parametrize(
    "words", ["accuracy", "best:accuracy", "max:", ":a<=1", "min:a<=x", "a<=nan", "max:a<=1<=2", ""]
)
def test_anything_else_is_no_goal(words):
    with pytest.raises(ValueError, match="is no goal|finite number"):
        goals.parse(words)


@pytest.mark.parametrize(
    ("wanted", "cause"),
    [
        ((Goal("energy", -1),), "Nothing here measures 'energy': there are accuracy, latency_ms"),
        ((ACCURACY, Goal("accuracy", 0, at_least=1)), "accuracy is a goal twice"),
        ((Goal("accuracy", 0, at_least=1),), "Nothing is to be maximised"),
    ],
)
def test_impossible_goals_are_refused(wanted, cause):
    with pytest.raises(ValueError, match=cause):
        goals.check(wanted, ("accuracy", "latency_ms"))


def test_one_goal_orders_by_score_with_failures_last():
    values = np.array([[1.0], [3.0], [math.nan], [2.0], [3.0]])
    np.testing.assert_array_equal(goals.order((ACCURACY,), values), [1, 4, 3, 0, 2])
    np.testing.assert_array_equal(goals.order((Goal("loss", -1),), values), [0, 3, 1, 4, 2])


def test_limits_come_before_scores():
    wanted = (ACCURACY, Goal("latency_ms", 0, at_most=10.0))
    values = np.array([[9, 20.0], [1, 10], [8, 11], [5, 9], [math.nan, 1]])
    np.testing.assert_array_equal(goals.order(wanted, values), [3, 1, 2, 0, 4])
    np.testing.assert_allclose(goals.violation(wanted, values), [1, 0, 0.1, 0, 0])
    np.testing.assert_array_equal(goals.front(wanted, values), [3])


def test_fronts_then_the_least_crowded():
    #            front 0: 0, 1, 2, 3 with 2 crowded; front 1: 4
    values = np.array([[4, 4.0], [3, 2], [2.9, 1.9], [1, 0], [2.5, 3]])
    np.testing.assert_array_equal(goals.ranks(BOTH, values), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(goals.front(BOTH, values), [0, 1, 2, 3])
    # Crowding of 1: (4-2.9)/3 + (4-1.9)/4; of 2: (3-1)/3 + (2-0)/4; both ends: infinite.
    np.testing.assert_array_equal(goals.order(BOTH, values), [0, 3, 2, 1, 4])


def test_hypervolume_of_a_staircase():
    values = np.array([[3, 1.0], [4, 2], [1, 1.5]])
    # Scores (3, -1) and (4, -2) down to (0, -5): 3 * 4 + 1 * 3.
    assert goals.hypervolume(BOTH, values, np.array([0.0, -5.0])) == pytest.approx(15)
    assert goals.hypervolume(BOTH, values[:0], np.array([0.0, -5.0])) == 0


def test_values_of_figures_that_are_missing_are_a_failure():
    assert np.isnan(goals.values_of(BOTH, {"accuracy": 1.0})).all()
    np.testing.assert_array_equal(
        goals.values_of(BOTH, {"latency_ms": 2.0, "accuracy": 1.0, "other": 3.0}), [1, 2]
    )
