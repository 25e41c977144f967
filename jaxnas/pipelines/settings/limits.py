"""Checks of the values of settings."""

import math
from typing import Any, NoReturn


def require(
    flag: str,
    value: float | None,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raises ValueError unless None or `minimum <= value`, `above < value`, `value < below`."""
    if value is None:
        return
    if not math.isfinite(value):
        fail(f"{flag} is {value}: give a finite number.")
    if minimum is not None and value < minimum:
        fail(f"{flag} is {value}: give {minimum} or more.")
    if above is not None and value <= above:
        fail(f"{flag} is {value}: give more than {above}.")
    if below is not None and value >= below:
        fail(f"{flag} is {value}: give less than {below}.")


def fail(message: str) -> NoReturn:
    raise ValueError(message)


def check_ignored(settings: Any, space: Any, command: str, prefix: str = "") -> None:
    """Raises ValueError for a flag of a command that has no effect on a `SearchSpace`."""
    for flag in sorted(space.ignores.get(command, ())):
        # 0 of a part that the space's networks never have is allowed.
        if getattr(settings, flag) not in (None, 0):
            fail(f"--{prefix}{flag.replace('_', '-')} has no effect on {space.noun}: leave it out.")


def check_multiple(flag: str, features: int, space: Any) -> None:
    """Raises ValueError for features that a `SearchSpace` cannot have."""
    if features % space.features_multiple:
        fail(
            f"{flag} is {features}: the stem of {space.noun} has a multiple of "
            f"{space.features_multiple}."
        )
