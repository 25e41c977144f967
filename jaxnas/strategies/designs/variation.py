"""New designs: drawn at random, or by mutation and crossover of others."""

from collections.abc import Callable, Set

import numpy as np

from jaxnas.strategies.designs import design_space
from jaxnas.strategies.designs.design_space import Designs, DesignSpace

TRIES = 50  # rounds of drawing, until enough designs are new
LISTED = 4096  # rows: spaces up to this size are listed, so that no design is missed


def unseen(
    space: DesignSpace, draw: Callable[[int], Designs], count: int, seen: Set[bytes]
) -> Designs:
    """i64[n, variables], n <= count, of what `draw(rows)` gives: canonical, valid, different.

    None is in `seen` (`design_space.keys`). Fewer, where 50 rounds of drawing give no more.
    """
    found: dict[bytes, np.ndarray] = {}
    for _ in range(TRIES):
        if len(found) >= count:
            break
        rows = np.ascontiguousarray(space.canonical(draw(max(count, 1))), np.int64)
        rows = rows[space.is_valid(rows)]
        for key, row in zip(design_space.keys(rows), rows, strict=True):
            if key not in seen:
                found.setdefault(key, row)
    rows = list(found.values())[:count]
    return np.stack(rows) if rows else empty(space)


def empty(space: DesignSpace) -> Designs:
    """i64[0, variables]."""
    return np.zeros((0, len(space.variables)), np.int64)


def uniform(space: DesignSpace, random: np.random.Generator, count: int) -> Designs:
    """Every value of every variable equally likely, i64[count, variables]; not checked."""
    shape = np.array(space.cardinalities)
    return (random.random((count, len(shape))) * shape).astype(np.int64)


def sample(
    space: DesignSpace,
    random: np.random.Generator,
    count: int,
    seen: Set[bytes] = frozenset(),
) -> Designs:
    """At most `count` different random designs that are not in `seen`, canonical and valid.

    Of a space of up to 4,096 rows, what is left is listed and drawn evenly.
    """
    if design_space.count(space) <= LISTED:
        rows = np.concatenate([empty(space), *design_space.enumerate_all(space)])
        rows = rows[[key not in seen for key in design_space.keys(rows)]]
        return random.permutation(rows)[:count]
    return unseen(space, lambda n: uniform(space, random, n), count, seen)


def mutate(
    space: DesignSpace, random: np.random.Generator, designs: Designs, rate: float | None = None
) -> Designs:
    """i64[N, variables]: values changed to others, in exactly one variable, at random.

    With `rate`, in each variable with that probability. Variables of one value stay. Raises
    ValueError for a space without any choice.
    """
    rows, shape = np.array(designs, np.int64), np.array(space.cardinalities)
    free = np.flatnonzero(shape > 1)
    if not len(free):
        raise ValueError("The space has one design: there is nothing to mutate.")
    if rate is None:
        changed = np.zeros(rows.shape, bool)
        changed[np.arange(len(rows)), random.choice(free, len(rows))] = True
    else:
        changed = (random.random(rows.shape) < rate) & (shape > 1)
    shift = 1 + (random.random(rows.shape) * (shape - 1)).astype(np.int64)
    return np.where(changed, (rows + shift) % shape, rows)


def crossover(random: np.random.Generator, first: Designs, second: Designs) -> Designs:
    """Uniform crossover: each value from one of the two parents, i64[N, variables]."""
    return np.where(random.random(first.shape) < 0.5, first, second)
