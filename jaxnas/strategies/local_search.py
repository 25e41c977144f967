"""Local search: all neighbours of the best design, until none is better; then a new start.

White et al. 2020, https://arxiv.org/abs/2005.02960
"""

import numpy as np

from jaxnas.strategies.designs import variation
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, keys
from jaxnas.strategies.goals import Goals, order
from jaxnas.strategies.strategy import History, Strategy, of_history


def local_search(space: DesignSpace, goals: Goals, *, starts: int = 10, batch: int = 1) -> Strategy:
    """Evaluates `starts` designs at random, then neighbours that differ in one variable.

    Neighbours of the best design so far that has any left are asked for in random order (the
    paper's query until improvement, its best variant); where none of any design is new, one at
    random. Ours: after the neighbours of the best, those of the second best follow, in place of a
    new start. Raises ValueError for `starts` below 1.
    """
    if starts < 1:
        raise ValueError(f"starts is {starts}: give 1 or more.")

    def propose(history: History, random: np.random.Generator, count: int) -> Designs:
        to_fill = starts - len(history.designs)
        if to_fill > 0:
            return variation.sample(space, random, min(count, to_fill), history.seen)
        found, seen = variation.empty(space), set(history.seen)
        for row in history.designs[order(goals, history.values)]:
            if len(found) >= count:
                break
            rows = np.ascontiguousarray(space.canonical(neighbours(space, row)))
            rows = random.permutation(np.unique(rows[space.is_valid(rows)], axis=0))
            new = [key not in seen for key in keys(rows)]
            found = np.concatenate([found, rows[new][: count - len(found)]])
            seen |= set(keys(found))
        if not len(found):
            return variation.sample(space, random, count, history.seen)
        return found

    return of_history(space, len(goals), propose, batch)


def neighbours(space: DesignSpace, row: np.ndarray) -> Designs:
    """All rows that differ from i64[variables] in one variable; not canonical."""
    rows = []
    for d, size in enumerate(space.cardinalities):
        changed = np.repeat(np.asarray(row)[None], size - 1, 0)
        changed[:, d] = np.delete(np.arange(size), row[d])
        rows.append(changed)
    return np.concatenate(rows)
