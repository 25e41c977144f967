"""Designs evaluated by an evaluator: decoded, with seeds of their own, failures as NaN."""

import hashlib
import math
from collections.abc import Callable

import numpy as np

from jaxnas.evaluators.evaluator import Evaluator, Figures
from jaxnas.strategies import goals as goal_values
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, keys
from jaxnas.strategies.goals import Goals


def seed_of(seed: int, key: bytes) -> int:
    """The seed, below 2**32, of a design's evaluation: a hash of the search's seed and the design.

    So an evaluation is a function of the two, whenever and wherever it is made.
    """
    digest = hashlib.sha256(seed.to_bytes(8, "little") + key).digest()
    return int.from_bytes(digest[:4], "little")


def evaluate(
    space: DesignSpace, evaluator: Evaluator, designs: Designs, seed: int
) -> list[Figures | Exception]:
    """The figures of each design, or the error by which it failed.

    A figure that is missing or not finite is a failure, and so is a wrong number of results.
    """
    decoded = [space.decode(row) for row in designs]
    seeds = [seed_of(seed, key) for key in keys(designs)]
    try:
        results = evaluator.evaluate(decoded, seeds)
    except Exception as error:  # of the whole batch
        return [error] * len(designs)
    if len(results) != len(designs):
        error = ValueError(f"The evaluator gave {len(results)} results for {len(designs)} designs.")
        return [error] * len(designs)
    return [_checked(evaluator, result) for result in results]


def values(
    space: DesignSpace, goals: Goals, evaluator: Evaluator, seed: int
) -> Callable[[Designs], np.ndarray]:
    """`evaluate` as a function of designs alone, i64[n, variables] -> f64[n, goals]."""

    def of(designs: Designs) -> np.ndarray:
        results = evaluate(space, evaluator, designs, seed)
        figures = [{} if isinstance(result, Exception) else result for result in results]
        return np.array([goal_values.values_of(goals, of_design) for of_design in figures])

    return of


def _checked(evaluator: Evaluator, result: Figures | Exception) -> Figures | Exception:
    if isinstance(result, Exception):
        return result
    for figure in evaluator.maximise:
        if figure not in result:
            return ValueError(f"The evaluator gave no {figure}.")
        if not math.isfinite(result[figure]):
            return ValueError(f"{figure} is {result[figure]}.")
    return result
