"""The uncertainty of a share of few: Wilson's interval."""

import scipy.stats

LEVEL = 0.9


def interval(share: float, count: int) -> tuple[float, float]:
    """(low, high) of the true share, with 90 % confidence, where `share` of `count` were seen.

    Wilson's interval: of 2 of 2 it is 0.43 to 1. Raises ValueError unless 0 <= share <= 1 and
    count >= 1.
    """
    if not 0 <= share <= 1 or count < 1:
        raise ValueError(f"A share of {share} of {count} is none.")
    found = scipy.stats.binomtest(round(share * count), count).proportion_ci(LEVEL, "wilson")
    return float(found.low), float(found.high)


def percent(bounds: tuple[float, float]) -> str:
    """The interval of a share in words, as `43 to 100 %`."""
    return f"{100 * bounds[0]:.0f} to {100 * bounds[1]:.0f} %"
