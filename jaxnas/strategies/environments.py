"""Search problems as gymnasium environments, and environments as search problems.

ArchGym's interface, https://arxiv.org/abs/2306.08888, section 3: an action is a design, an
observation its figures. Needs the extra `gym`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from jaxnas.evaluators import evaluator as evaluators
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.strategies import evaluation
from jaxnas.strategies import goals as goal_values
from jaxnas.strategies.designs import design_space
from jaxnas.strategies.designs.design_space import DesignSpace
from jaxnas.strategies.goals import Goals

LARGEST = float(np.finfo(np.float32).max)  # of figures: gymnasium wants finite bounds


class DesignEnvironment(gymnasium.Env):
    """Episodes of one step: the action is a design, the observation its figures in order.

    The reward is that of controllers without their moving scale: the score of the one objective,
    less `penalty` times what limits are exceeded by, relative to them; `failed` for a design that
    is not valid or fails, whose figures are 0. `info` has the figures or the error, and the
    canonical design. Raises ValueError unless there is one objective.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        space: DesignSpace,
        goals: Goals,
        evaluator: Evaluator,
        *,
        seed: int = 0,
        penalty: float = 1.0,
        failed: float = 0.0,
    ):
        goal_values.check(goals, tuple(evaluator.maximise))
        if sum(goal.sign != 0 for goal in goals) != 1:
            raise ValueError("A reward is of one goal: turn the others into limits.")
        self.space, self.goals, self.evaluator = space, goals, evaluator
        self.penalty, self.failed, self.run_seed = penalty, failed, seed
        self.action_space = gymnasium.spaces.MultiDiscrete(space.cardinalities)
        shape = (len(evaluator.maximise),)
        self.observation_space = gymnasium.spaces.Box(-LARGEST, LARGEST, shape, np.float64)

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        """Nothing is observed before the first design."""
        super().reset(seed=seed)
        return np.zeros(self.observation_space.shape), {}

    def step(self, action):
        """Evaluates the design of i64[variables]; always the end of an episode."""
        row = np.asarray(self.space.canonical(np.asarray(action, np.int64)[None]), np.int64)
        if not self.space.is_valid(row)[0]:
            return self._ended(row[0], ValueError("The design is not valid."))
        (result,) = evaluation.evaluate(self.space, self.evaluator, row, self.run_seed)
        return self._ended(row[0], result)

    def _ended(self, row: np.ndarray, result):
        info = {"design": row}
        if isinstance(result, Exception):
            zeros = np.zeros(self.observation_space.shape)
            return zeros, self.failed, True, False, info | {"error": str(result)}
        values = goal_values.values_of(self.goals, result)[None]
        score = goal_values.scores(self.goals, values)[0, 0]
        earned = score - self.penalty * goal_values.violation(self.goals, values)[0]
        observed = np.array([float(result[name]) for name in self.evaluator.maximise])
        return observed, float(earned), True, False, info | {"figures": dict(result)}


def space_of(environment: gymnasium.Env, names: Sequence[str] | None = None) -> DesignSpace:
    """The design space of an environment whose actions are MultiDiscrete or Discrete.

    A decoded design is the action. Raises ValueError for other actions.
    """
    actions = environment.action_space
    if isinstance(actions, gymnasium.spaces.Discrete):
        sizes = (int(actions.n),)
    elif isinstance(actions, gymnasium.spaces.MultiDiscrete):
        sizes = tuple(int(n) for n in actions.nvec)
    else:
        raise ValueError(f"Designs are whole numbers: actions of {actions} are none.")
    names = names or [f"action.{i}" for i in range(len(sizes))]
    space = design_space.of_values({n: range(s) for n, s in zip(names, sizes, strict=True)})
    start = np.asarray(getattr(actions, "start", 0)).reshape(-1)
    as_action = lambda row: np.asarray(row) + start
    if isinstance(actions, gymnasium.spaces.Discrete):
        return space._replace(decode=lambda row: int(as_action(row)[0]))
    return space._replace(decode=lambda row: as_action(row).astype(actions.dtype))


def evaluator_of(environment: gymnasium.Env, most_steps: int = 1) -> Evaluator:
    """Figures of an action: the `reward` summed over an episode that repeats it.

    An episode begins with the evaluation's seed and ends when the environment says so, or after
    `most_steps`.
    """

    def figures(action: Any, seed: int) -> Mapping[str, float]:
        environment.reset(seed=seed)
        total = 0.0
        for _ in range(most_steps):
            _, earned, terminated, truncated, _ = environment.step(action)
            total += float(earned)
            if terminated or truncated:
                break
        return {"reward": total}

    return evaluators.of_function({"reward": True}, figures)
