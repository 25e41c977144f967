"""Whether a run is still sound: finite losses, a finite state, cells that are no mere skips."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class NonFiniteError(FloatingPointError):
    """A loss, or a leaf of the state, that is no longer a finite number.

    `name` says which, `step` counts the steps done, `last_good` is the step of the last
    checkpoint or None.
    """

    def __init__(self, name: str, step: int, last_good: int | None, folder: Path):
        saved = (
            "No checkpoint had been saved"
            if last_good is None
            else f"The last good checkpoint is step {last_good} in {folder / 'checkpoints'}"
        )
        super().__init__(
            f"{name} is not finite at step {step}. {saved}. Lower the learning rate or clip "
            "gradients, and start under another name."
        )
        self.name, self.step, self.last_good = name, step, last_good


def first_bad_loss(rows: list[Mapping[str, float]]) -> tuple[int, str] | None:
    """(row, name) of the first `loss/...` that is not finite."""
    for index, row in enumerate(rows):
        for name, value in row.items():
            if name.startswith("loss/") and not np.isfinite(value):
                return index, name
    return None


def non_finite_leaves(state: Any) -> frozenset[str]:
    """Paths of the leaves that hold a NaN or an infinity."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return frozenset(
        jax.tree_util.keystr(path)
        for path, leaf in leaves
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and not np.isfinite(np.asarray(leaf)).all()
    )


def warn_on_collapse(
    limits: Mapping[str, float], note: Callable[[str], None]
) -> Callable[[Mapping[str, float]], None]:
    """Warns, once each time, when `gates/skips/CELL` reaches the limit of its cell."""
    collapsed: set[str] = set()

    def look(line: Mapping[str, float]) -> None:
        for cell, limit in limits.items():
            skips = line.get(f"gates/skips/{cell}")
            if skips is None:
                raise ValueError(
                    f"There is a skip limit for {cell}, but gates/skips/{cell} is not measured."
                )
            if skips < limit:
                collapsed.discard(cell)
            elif cell not in collapsed:
                collapsed.add(cell)
                note(
                    f"WARNING: epoch {line['epoch']}: cell {cell} now has {skips:g} skip "
                    f"connections (warned of from {limit:g}): the search is collapsing. Stop "
                    "earlier, or regularise the architecture."
                )

    return look
