"""Formatting of numbers: significant digits, units, thin spaces between thousands."""

import math
from typing import Any

SPACE = "\u00a0"  # no line break between a number and its unit


def number(value: Any) -> float | None:
    """`value`, read from a file, as a finite float, or None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def fraction(value: Any) -> float | None:
    """`value` as a float within 0 and 1, or None."""
    value = number(value)
    return value if value is not None and 0 <= value <= 1 else None


def percent(fraction: float, digits: int = 1) -> str:
    """A fraction as per cent: `97.2 %` for 0.9722."""
    return f"{100 * fraction:.{digits}f}{SPACE}%"


def change(fraction: float) -> str:
    """The size of a relative change as per cent: `40 %` for -0.397."""
    return f"{abs(100 * fraction):.0f}{SPACE}%"


def digits_for(images: float | None) -> int:
    """Digits after the point that a percentage of so many test images has."""
    return 1 if images is not None and images < 2000 else 2


def amount(value: float) -> str:
    """A number with a decimal prefix: `1.93 M` for 1930618; all digits below ten thousand."""
    if abs(value) < 1e4:
        return exact(value)
    rounded = abs(float(f"{value:.3g}"))  # before the unit: 999999 is one million
    factor, unit = next(
        (factor, unit)
        for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
        if rounded >= factor
    )
    return f"{value / factor:.3g}{SPACE}{unit}"


def exact(value: float) -> str:
    """All digits of a number: `1 930 618` for 1930618."""
    return f"{value:,.0f}".replace(",", "\u202f")


def milliseconds(value: float) -> str:
    """A time with three significant digits: `3.21 ms`, `0.0457 ms`, `1.52 s`."""
    return f"{value / 1000:.3g}{SPACE}s" if value >= 1000 else f"{value:.3g}{SPACE}ms"
