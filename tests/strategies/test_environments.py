"""Search problems as gymnasium environments and back."""

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="the extra gym is not installed")
from gymnasium.utils.env_checker import check_env  # noqa: E402

from jaxnas.evaluators import evaluator  # noqa: E402
from jaxnas.strategies import environments, registry, strategy  # noqa: E402
from jaxnas.strategies.designs import combine, design_space  # noqa: E402
from jaxnas.strategies.evaluation import values  # noqa: E402
from jaxnas.strategies.goals import Goal  # noqa: E402

SPACE = combine.restricted(
    design_space.of_values({"a": (1, 2, 3), "b": (1, 2, 3, 4)}), lambda rows: rows.sum(1) < 5
)
GOALS = (Goal("product", 1), Goal("a", 0, at_most=2.0))


def product(design, seed):
    if design["a"] == design["b"] == 1:
        raise ValueError("too small")
    return {"product": design["a"] * design["b"], "a": design["a"]}


EVALUATOR = evaluator.of_function({"product": True, "a": False}, product)


def made():
    return environments.DesignEnvironment(SPACE, GOALS, EVALUATOR, penalty=4.0, failed=-1.0)


def test_passes_gymnasiums_own_check():
    check_env(made(), skip_render_check=True)


def test_a_step_gives_figures_and_the_reward_of_goal_and_limit():
    environment = made()
    environment.reset(seed=0)
    observed, earned, terminated, truncated, info = environment.step(np.array([1, 3]))
    np.testing.assert_array_equal(observed, [8, 2])
    assert (earned, terminated, truncated) == (8, True, False)
    assert info["figures"] == {"product": 8, "a": 2}
    # a is 3, half more than its limit.
    assert environment.step(np.array([2, 1]))[1] == 6 - 4 * 0.5
    assert environment.step(np.array([2, 3]))[1] == -1  # not valid
    assert environment.step(np.array([0, 0]))[4]["error"] == "too small"


def test_an_environment_is_searched_as_any_problem():
    environment = made()
    space = environments.space_of(environment)
    goals = (Goal("reward", 1),)
    evaluate = values(space, goals, environments.evaluator_of(environment), 0)
    history = strategy.simulate(registry.make("local-search", space, goals), evaluate, 12, 0)
    assert len(history.designs) == 12
    np.testing.assert_array_equal(history.designs[history.values.argmax()], [1, 3])
    with pytest.raises(ValueError, match="Designs are whole numbers"):
        environments.space_of(gymnasium.make("Pendulum-v1"))
