"""Whether a number is one that a setting can have."""

import math
from typing import NoReturn


def require(
    flag: str,
    value: float | None,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> None:
    """Raises ValueError unless None or `least <= value`, `above < value`, `value < below`."""
    if value is None:
        return
    if not math.isfinite(value):
        refuse(f"{flag} is {value}: give a finite number.")
    if least is not None and value < least:
        refuse(f"{flag} is {value}: give {least} or more.")
    if above is not None and value <= above:
        refuse(f"{flag} is {value}: give more than {above}.")
    if below is not None and value >= below:
        refuse(f"{flag} is {value}: give less than {below}.")


def refuse(message: str) -> NoReturn:
    raise ValueError(message)
