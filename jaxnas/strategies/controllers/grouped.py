"""A grouped policy: an agent for each group of variables, which draws them jointly.

From one group for each variable (`factorised`) to one for all (a table of every design).
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.strategies.controllers.factorised import factorised
from jaxnas.strategies.controllers.policy import Policy

MOST_VALUES = 65_536  # of a group: logits are one table a group


@functools.cache
def grouped(cardinalities: tuple[int, ...], groups: tuple[tuple[int, ...], ...]) -> Policy:
    """`groups` are indices of variables; each group has a softmax over its combinations.

    Raises ValueError unless every variable is in exactly one group, and for a group of more than
    65,536 combinations.
    """
    if sorted(v for group in groups for v in group) != list(range(len(cardinalities))):
        raise ValueError(
            f"The groups {groups} are no partition of {len(cardinalities)} variables: name each "
            "once, from 0."
        )
    shapes = [tuple(cardinalities[v] for v in group) for group in groups]
    sizes = tuple(math.prod(shape) for shape in shapes)
    if max(sizes) > MOST_VALUES:
        raise ValueError(
            f"A group has {max(sizes):,} combinations, more than {MOST_VALUES:,}: split it."
        )
    inner = factorised(sizes)
    columns = np.argsort([v for group in groups for v in group])

    def sample(params, noise) -> jax.Array:
        drawn = inner.sample(params, noise)
        parts = [jnp.unravel_index(drawn[:, i], shape) for i, shape in enumerate(shapes)]
        values = [value for part in parts for value in part]
        return jnp.stack([values[c] for c in columns], 1)

    def log_prob(params, designs):
        rows = [
            jnp.ravel_multi_index([designs[:, v] for v in group], shape, mode="clip")
            for group, shape in zip(groups, shapes, strict=True)
        ]
        return inner.log_prob(params, jnp.stack(rows, 1))

    return Policy(inner.init, inner.noise, sample, log_prob)


def by_name(names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Variables grouped by the part of their names before the first dot, in order."""
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(name.partition(".")[0], []).append(index)
    return tuple(tuple(group) for group in groups.values())
