"""Health checks of a run: finite losses, a finite state, cells that have not collapsed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


class NonFiniteError(FloatingPointError):
    """The loss or leaf `name` of the state is no finite number after `step` steps.

    `last_good` is the step of the last checkpoint, or None.
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


def first_bad_loss(rows: Sequence[Mapping[str, float]]) -> tuple[int, str] | None:
    """(row, name) of the first metric `loss/...` that is not finite, or None."""
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
    limits: Mapping[str, float], log: Callable[[str], None]
) -> Callable[[Mapping[str, float]], None]:
    """A function of epoch lines that warns when `gates/skips/CELL` reaches the limit of its cell.

    It warns again only after the number was below the limit. Raises ValueError, from the function,
    where a cell has a limit and its skips are not measured.
    """
    collapsed: set[str] = set()

    def check(line: Mapping[str, float]) -> None:
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
                log(
                    f"WARNING: epoch {line['epoch']}: cell {cell} now has {skips:g} skip "
                    f"connections (warned of from {limit:g}): the search is collapsing. Stop "
                    "earlier, or regularise the architecture."
                )

    return check
