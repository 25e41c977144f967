"""Controllers: updates by hand, rewards of failures and limits, and a known problem solved."""

import numpy as np
import pytest

from jaxnas.strategies import controller, registry, strategy
from jaxnas.strategies.controller import PolicyTraining
from jaxnas.strategies.controllers.factorised import factorised
from jaxnas.strategies.controllers.reward import rewards
from jaxnas.strategies.designs import design_space
from jaxnas.strategies.goals import Goal
from tests.strategies.toys import CELLS, SCORE

PAIR = design_space.of_values({"a": ("x", "y"), "b": ("x", "y", "z")})
CONVOLUTION = 3


def told(training, designs, values, goals=(SCORE,)):
    made = controller.controller(PAIR, goals, factorised((2, 3)), training)
    return made.tell(made.init(), np.array(designs), np.array(values, float))


def test_one_update_makes_the_better_design_likelier():
    # Adam's first step moves every parameter by the learning rate against its gradient's sign.
    state = told(PolicyTraining(0.1, batch=2), [[0, 0], [1, 1]], [[3.0], [1.0]])
    np.testing.assert_allclose(np.asarray(state.params)[0, :2], [0.1, -0.1], atol=1e-6)
    np.testing.assert_allclose(np.asarray(state.params)[1], [0.1, -0.1, 0], atol=1e-6)
    assert state.baseline == 2  # the first mean
    again = controller.controller(PAIR, (SCORE,), factorised((2, 3)), PolicyTraining(0.1, batch=2))
    assert again.tell(state, np.array([[0, 0]]), np.array([[12.0]])).baseline == 0.9 * 2 + 0.1 * 12


def test_a_partial_batch_is_filled_up_without_effect():
    whole = told(PolicyTraining(0.1, batch=2), [[0, 0], [1, 1]], [[3.0], [1.0]])
    padded = told(PolicyTraining(0.1, batch=7), [[0, 0], [1, 1]], [[3.0], [1.0]])
    np.testing.assert_allclose(whole.params, padded.params, atol=1e-6)


def test_several_passes_stop_where_the_probability_has_moved_by_the_clip():
    # One design that is better and one that is worse: unclipped, passes would go on.
    rows, values = [[0, 0], [1, 1]], [[3.0], [1.0]]
    policy = factorised((2, 3))
    ratio = lambda state: np.exp(policy.log_prob(state.params, np.array(rows))[0] - np.log(1 / 6))
    clipped = ratio(told(PolicyTraining(0.02, batch=2, passes=60, clip=0.2), rows, values))
    unclipped = ratio(told(PolicyTraining(0.02, batch=2, passes=60, clip=50.0), rows, values))
    assert 1.2 < clipped[0] < 1.7 < unclipped[0]


def test_rewards_of_failures_and_of_broken_limits():
    goals = (SCORE, Goal("cost", 0, at_most=2.0))
    values = np.array([[4.0, 1.0], [np.nan, np.nan], [8.0, 3.0]])
    found = rewards(goals, values, np.array([2.0, 6.0]))
    scale = np.std([2, 6, 4, 8])
    worst = min(2.0, 8 - 3 * scale * 0.5)
    np.testing.assert_allclose(found, [4, worst, 8 - 3 * scale * 0.5])
    minimised = (Goal("cost", -1),)
    np.testing.assert_allclose(rewards(minimised, np.array([[5.0]]), np.zeros(0)), [-5])
    assert np.isnan(rewards((SCORE,), np.array([[np.nan]]), np.zeros(0))).all()


@pytest.mark.parametrize("name", ["reinforce", "nasnet"])
def test_finds_cells_of_convolutions(name):
    value = lambda designs: (designs == CONVOLUTION).sum(1)[:, None].astype(float)
    made = registry.make(name, CELLS, (SCORE,))
    history = strategy.simulate(made, value, 200, seed=0)
    assert history.values.max() == 6
    assert history.values[-50:].mean() > history.values[:50].mean() + 1.5


def test_equal_spaces_share_what_is_compiled():
    make = lambda: registry.make("reinforce", CELLS, (SCORE,))
    assert controller._program.cache_info().maxsize is None
    make()
    programs = controller._program.cache_info().misses
    make()
    assert controller._program.cache_info().misses == programs


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="rewarded for one goal"):
        registry.get("reinforce").make(PAIR, (SCORE, Goal("cost", -1)))
    for setting, words in (
        ("learning_rate", "above 0"),
        ("batch", "above 0"),
        ("decay", "in .0, 1"),
    ):
        with pytest.raises(ValueError, match=words):
            registry.make("reinforce", PAIR, (SCORE,), {setting: -1})
    with pytest.raises(ValueError, match="agents is 'all': there are variables, groups, joint"):
        registry.make("multi-agent", PAIR, (SCORE,), {"agents": "all"})
