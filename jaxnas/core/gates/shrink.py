"""Shrinking a space between stages: the remaining candidates, and their architecture."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core.types import Arch, Choice, Gates, Space


def top_candidates(space: Space, gates: Gates, keep: int) -> tuple[Space, dict[str, np.ndarray]]:
    """(space of each edge's `keep` largest gates, their columns i[edges, keep] a choice).

    The candidates of an edge stay in order; ties go to the one listed first. Raises ValueError
    unless 1 <= keep < candidates.
    """
    columns, smaller = {}, {}
    for name, choice in space.items():
        if not 1 <= keep < choice.shape[1]:
            raise ValueError(
                f"Of {choice.shape[1]} candidates {keep} cannot be kept: keep fewer, at least one."
            )
        strongest = np.argsort(-np.asarray(gates[name]), axis=1, kind="stable")[:, :keep]
        columns[name] = np.sort(strongest, axis=1)
        rows = zip(choice.candidates, columns[name], strict=True)
        smaller[name] = Choice(choice.edges, tuple(tuple(c[i] for i in row) for c, row in rows))
    return smaller, columns


def take_candidates(arch: Arch, columns: dict[str, np.ndarray]) -> Arch:
    """The architecture of the candidates that `top_candidates` kept, in its `columns`.

    Leaves with a candidate axis lose the other columns; leaves of one number an edge are unchanged.
    """

    def cut(path, leaf: jax.Array) -> jax.Array:
        if leaf.ndim < 2:
            return leaf
        return jnp.take_along_axis(leaf, jnp.asarray(columns[path[-1].key]), axis=1)

    return jax.tree_util.tree_map_with_path(cut, arch)
