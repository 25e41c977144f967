"""Numbers as people read them: sensible digits, a unit, a thin space between thousands."""

import math
from typing import Any

SPACE = "\u00a0"  # never breaks a number from its unit


def number(value: Any) -> float | None:
    """`value` as a finite float, or None where it is none: files hold all sorts of things."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        value = float(value)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def fraction(value: Any) -> float | None:
    """`value` as a number within 0 and 1, or None."""
    value = number(value)
    return value if value is not None and 0 <= value <= 1 else None


def percent(fraction: float, digits: int = 1) -> str:
    """0.9722 is `97.2 %`."""
    return f"{100 * fraction:.{digits}f}{SPACE}%"


def change(fraction: float) -> str:
    """The size of a relative change: -0.397 is `40 %`."""
    return f"{abs(100 * fraction):.0f}{SPACE}%"


def digits_for(images: float | None) -> int:
    """Digits of a percentage that so many test images can tell apart."""
    return 1 if images is not None and images < 2000 else 2


def amount(value: float) -> str:
    """1930618 is `1.93 M`; below ten thousand, the whole number."""
    if abs(value) < 1e4:
        return exact(value)
    rounded = abs(float(f"{value:.3g}"))  # first: 999999 is one million
    factor, unit = next(
        (factor, unit)
        for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
        if rounded >= factor
    )
    return f"{value / factor:.3g}{SPACE}{unit}"


def exact(value: float) -> str:
    """1930618 is `1 930 618`."""
    return f"{value:,.0f}".replace(",", "\u202f")


def milliseconds(value: float) -> str:
    """Three significant digits: `3.21 ms`, `0.0457 ms`, `1.52 s`."""
    return f"{value / 1000:.3g}{SPACE}s" if value >= 1000 else f"{value:.3g}{SPACE}ms"
