"""When a run is saved, and which checkpoints stay."""

import time
from typing import NamedTuple

from jaxnas.run import checkpoint


class SavePolicy(NamedTuple):
    """By steps, by seconds, or both; always at a chunk's end.

    The last step is saved too, and the step at which the run was asked to stop. With
    `keep_epochs = n` every n-th epoch is saved and stays, beside the `keep` latest.
    """

    every_steps: int | None = None
    every_s: float | None = 60.0
    keep: int = 2
    keep_epochs: int | None = None


EVERY_MINUTE = SavePolicy()


def check(saving: SavePolicy) -> SavePolicy:
    """`saving`, or ValueError for a number that is not positive."""
    for name, value in saving._asdict().items():
        if value is not None and value <= 0:
            raise ValueError(f"Saving's {name} must be positive, not {value}.")
    return saving


def in_steps(saving: SavePolicy, steps_per_epoch: int) -> checkpoint.PreservationPolicy:
    """The same policy, in steps."""
    epochs = saving.keep_epochs
    return checkpoint.PreservationPolicy(
        saving.keep, None if epochs is None else epochs * steps_per_epoch
    )


def is_due(
    saving: SavePolicy, keep: checkpoint.PreservationPolicy, step: int, last: int, last_s: float
) -> bool:
    """Whether to save at `step`, after a save at step `last` and monotonic time `last_s`."""
    if keep.every_steps is not None and step % keep.every_steps == 0:
        return True
    # Counted from step 0, so that it does not matter where a run was resumed.
    if saving.every_steps is not None and step // saving.every_steps > last // saving.every_steps:
        return True
    return saving.every_s is not None and time.monotonic() - last_s >= saving.every_s
