"""Goals of a search by evaluations: figures to be maximised or minimised, and limits on them.

Values are f64[N, goals], in the order of the goals; a row with NaN failed. Designs that break
limits come after all that keep them, by how much they break them: constraint domination, Deb et al.
2002, https://doi.org/10.1109/4235.996017, section VI.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import moocore
import numpy as np


class Goal(NamedTuple):
    """A figure, its direction and its limits."""

    figure: str
    sign: int  # 1: larger is better, -1: smaller is better, 0: only the limits count
    at_least: float = -math.inf
    at_most: float = math.inf


Goals = Sequence[Goal]
LIMIT = re.compile(r"^(?P<figure>[^<>=]+?)(?:(?P<relation><=|>=)(?P<limit>[^<>=]+))?$")


def parse(text: str) -> Goal:
    """A goal in words: `max:accuracy`, `min:latency_ms<=8`, `parameters<=3e5`.

    Raises ValueError for anything else.
    """
    direction, separator, rest = text.rpartition(":")
    match = LIMIT.match(rest.strip())
    signs = {"max": 1, "min": -1, "": 0}
    try:
        limit = None if match is None or match["limit"] is None else float(match["limit"])
    except ValueError:
        match = None
    is_limit_alone = not separator and match is not None and match["relation"] is not None
    if match is None or direction not in signs or not (separator and direction or is_limit_alone):
        raise ValueError(
            f"{text!r} is no goal: write max:FIGURE or min:FIGURE, with a limit min:FIGURE<=8, or "
            "a limit alone, FIGURE<=8 or FIGURE>=8."
        )
    goal = Goal(match["figure"].strip(), signs[direction])
    if limit is None:
        return goal
    if not math.isfinite(limit):
        raise ValueError(f"{text!r}: the limit must be a finite number.")
    return goal._replace(**{{"<=": "at_most", ">=": "at_least"}[match["relation"]]: limit})


def text(goal: Goal) -> str:
    """A goal as `parse` reads it."""
    words = {1: "max:", -1: "min:", 0: ""}[goal.sign] + goal.figure
    if math.isfinite(goal.at_most):
        return f"{words}<={goal.at_most:g}"
    return f"{words}>={goal.at_least:g}" if math.isfinite(goal.at_least) else words


def check(goals: Goals, figures: Sequence[str]) -> None:
    """Raises ValueError for no objective, a goal twice, and a figure that nobody measures."""
    for goal in goals:
        if goal.figure not in figures:
            raise ValueError(
                f"Nothing here measures {goal.figure!r}: there are {', '.join(figures)}."
            )
    names = [goal.figure for goal in goals]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is a goal twice: give its direction and limit as one goal.")
    if not any(goal.sign for goal in goals):
        raise ValueError("Nothing is to be maximised or minimised: give a goal max: or min:.")


def values_of(goals: Goals, figures: Mapping[str, float]) -> np.ndarray:
    """f64[goals] of one design's figures; NaN throughout if one is missing or not finite."""
    values = np.array([float(figures.get(goal.figure, math.nan)) for goal in goals])
    return values if np.isfinite(values).all() else np.full(len(goals), math.nan)


def scores(goals: Goals, values: np.ndarray) -> np.ndarray:
    """f64[N, objectives]: what is to be maximised, larger is better; limits left out."""
    signs = np.array([goal.sign for goal in goals])
    return (np.asarray(values, float) * signs)[:, signs != 0]


def violation(goals: Goals, values: np.ndarray) -> np.ndarray:
    """f64[N]: the sum of what limits are exceeded by, relative to them; 0: all are kept."""
    total = np.zeros(len(values))
    for column, goal in zip(np.asarray(values, float).T, goals, strict=True):
        for limit, excess in ((goal.at_most, column - goal.at_most),
                              (goal.at_least, goal.at_least - column)):  # fmt: skip
            if math.isfinite(limit):
                total += np.maximum(excess, 0) / (abs(limit) or 1.0)
    return total


def ranks(goals: Goals, values: np.ndarray) -> np.ndarray:
    """f64[N], smaller is better: the number of the front, from 0; then by violation; failed: inf.

    With one objective, the rank of its score, ties equal.
    """
    values = np.asarray(values, float)
    found, failed = np.full(len(values), np.inf), np.any(np.isnan(values), axis=1)
    broken = np.where(failed, np.inf, violation(goals, np.where(failed[:, None], 0, values)))
    kept = broken == 0
    if kept.any():
        of_kept = scores(goals, values[kept])
        if of_kept.shape[1] == 1:
            found[kept] = np.unique(-of_kept[:, 0], return_inverse=True)[1]
        else:
            found[kept] = moocore.pareto_rank(of_kept, maximise=True)
    start = found[kept].max() + 1 if kept.any() else 0
    breaks = ~kept & ~failed
    if breaks.any():
        found[breaks] = start + np.unique(broken[breaks], return_inverse=True)[1]
    return found


def order(goals: Goals, values: np.ndarray) -> np.ndarray:
    """i64[N], best first: by `ranks`, within a front the least crowded first; failed ones last."""
    by_rank = ranks(goals, values)
    crowding = np.zeros(len(values))
    for rank in np.unique(by_rank[np.isfinite(by_rank)]):
        rows = np.flatnonzero(by_rank == rank)
        crowding[rows] = _crowding(scores(goals, np.asarray(values)[rows]))
    return np.lexsort((-crowding, by_rank))


def front(goals: Goals, values: np.ndarray) -> np.ndarray:
    """i64[n]: the designs that keep all limits and that none dominates, first ones of equals."""
    values = np.asarray(values, float)
    failed = np.any(np.isnan(values), axis=1)
    kept = ~failed & (violation(goals, np.where(failed[:, None], 0, values)) == 0)
    rows = np.flatnonzero(kept)
    if not len(rows):
        return rows
    return rows[moocore.is_nondominated(scores(goals, values[rows]), maximise=True)]


def hypervolume(goals: Goals, values: np.ndarray, reference: np.ndarray) -> float:
    """The volume that the front dominates, down to `reference`, f64[objectives] of `scores`."""
    points = scores(goals, np.asarray(values)[front(goals, values)])
    if not len(points):
        return 0.0
    return float(moocore.hypervolume(points, ref=np.asarray(reference, float), maximise=True))


def _crowding(points: np.ndarray) -> np.ndarray:
    """f64[N]: Deb's crowding distance within a front; inf at the ends of each objective."""
    distance = np.zeros(len(points))
    if points.shape[1] == 1:
        return distance
    for column in points.T:
        order_of = np.argsort(column, kind="stable")
        width = column[order_of[-1]] - column[order_of[0]]
        distance[order_of[[0, -1]]] = np.inf
        if width > 0 and len(points) > 2:
            distance[order_of[1:-1]] += (column[order_of[2:]] - column[order_of[:-2]]) / width
    return distance
