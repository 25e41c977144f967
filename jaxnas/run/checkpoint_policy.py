"""When a run is saved, and which checkpoints stay."""

import time
from typing import NamedTuple

from jaxnas.run import checkpoint


class Saving(NamedTuple):
    """By steps, by seconds, or both; always at a chunk's end.

    The last step is saved too, and the step at which the run was asked to stop. With
    `keep_epochs = n` every n-th epoch is saved and stays, beside the `keep` latest.
    """

    every_steps: int | None = None
    every_s: float | None = 60.0
    keep: int = 2
    keep_epochs: int | None = None


EVERY_MINUTE = Saving()


def checked(saving: Saving) -> Saving:
    """`saving`, or ValueError for a number that is not positive."""
    for name, value in saving._asdict().items():
        if value is not None and value <= 0:
            raise ValueError(f"Saving's {name} must be positive, not {value}.")
    return saving


def kept(saving: Saving, steps_per_epoch: int) -> checkpoint.Keep:
    """The same policy, in steps."""
    epochs = saving.keep_epochs
    return checkpoint.Keep(saving.keep, None if epochs is None else epochs * steps_per_epoch)


def is_due(saving: Saving, keep: checkpoint.Keep, step: int, last: int, last_s: float) -> bool:
    """Whether to save at `step`, after a save at step `last` and monotonic time `last_s`."""
    if keep.every_steps is not None and step % keep.every_steps == 0:
        return True
    # Counted from step 0, so that it does not matter where a run was resumed.
    if saving.every_steps is not None and step // saving.every_steps > last // saving.every_steps:
        return True
    return saving.every_s is not None and time.monotonic() - last_s >= saving.every_s
