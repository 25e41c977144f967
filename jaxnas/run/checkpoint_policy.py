"""Checkpoint policy: when to save, which to keep."""

import time
from typing import NamedTuple

from jaxnas.run import checkpoint


class SavePolicy(NamedTuple):
    """Saves every so many steps, seconds, or both, always at the end of a chunk.

    The last step and the step at which a signal stops the run are saved, too. The `keep` latest
    checkpoints are kept; with `keep_epochs = n` every n-th epoch is saved and kept as well.
    """

    every_steps: int | None = None
    every_s: float | None = 60.0
    keep: int = 2
    keep_epochs: int | None = None


EVERY_MINUTE = SavePolicy()


def check(policy: SavePolicy) -> None:
    """Raises ValueError for a number that is not positive."""
    for name, value in policy._asdict().items():
        if value is not None and value <= 0:
            raise ValueError(f"Saving's {name} must be positive, not {value}.")


def in_steps(policy: SavePolicy, steps_per_epoch: int) -> checkpoint.PreservationPolicy:
    """Which checkpoints a policy keeps, in steps."""
    epochs = policy.keep_epochs
    return checkpoint.PreservationPolicy(
        policy.keep, None if epochs is None else epochs * steps_per_epoch
    )


def is_due(
    policy: SavePolicy,
    preservation: checkpoint.PreservationPolicy,
    step: int,
    saved_step: int,
    saved_s: float,
) -> bool:
    """Whether to save at `step`, after a save at `saved_step` and monotonic time `saved_s`."""
    if preservation.every_steps is not None and step % preservation.every_steps == 0:
        return True
    every_steps, every_s = policy.every_steps, policy.every_s
    # Counted from step 0, independent of resumptions.
    if every_steps is not None and step // every_steps > saved_step // every_steps:
        return True
    return every_s is not None and time.monotonic() - saved_s >= every_s
