"""What results show and do not show, in plain sentences."""

import math
import statistics
from collections.abc import Mapping, Sequence

from jaxnas.report.statistics.paired import Comparison, Scores
from jaxnas.report.statistics.sample import COVERAGE, LEVEL
from jaxnas.report.statistics.variance import VarianceComponents

ALPHA = 1 - LEVEL
MAX_PAIRS = 5  # that are named; the table has all


def sentences(
    scores: Scores,
    compared: Sequence[Comparison],
    variance: Mapping[str, VarianceComponents] | None = None,
    unit: str = "points",
) -> list[str]:
    """Which is best, which differences are shown, and what these seeds cannot show.

    `compared` are the comparisons of `scores`, corrected; `variance` by name where cells were
    trained several times. `unit` is that of the scores.
    """
    means = {name: statistics.fmean(of_seed.values()) for name, of_seed in scores.items()}
    best = [name for name, mean in means.items() if mean == max(means.values())]
    lines = []
    if len(scores) > 1:
        lines.append(f"The highest mean is that of {' and '.join(best)}.")
    shown = sorted((c for c in compared if c.p_holm < ALPHA), key=lambda c: -abs(c.difference))
    for c in shown[:MAX_PAIRS]:
        high, low = (c.first, c.second) if c.difference > 0 else (c.second, c.first)
        is_weak = c.p_signs >= ALPHA  # the test without a law does not confirm it
        start = "If differences are normal, the data show" if is_weak else "The data show"
        end = f"; without that assumption p {_p(c.p_signs)} before correction" if is_weak else ""
        lines.append(
            f"{start} that {high} is better than {low}: by {abs(c.difference):.2f} {unit}, "
            f"{c.seeds} seeds, p {_p(c.p_holm)} after correction for {len(compared)} "
            f"comparison{'s' * (len(compared) > 1)}{end}."
        )
    if len(shown) > MAX_PAIRS:
        lines.append(f"The data show {len(shown) - MAX_PAIRS} more differences: see the table.")
    open_pairs = [c for c in compared if c.p_holm >= ALPHA]
    if open_pairs:
        widest = max(max(abs(c.low), abs(c.high)) for c in open_pairs)
        more = len(open_pairs) - MAX_PAIRS
        names = "; ".join(f"{c.first} and {c.second}" for c in open_pairs[:MAX_PAIRS])
        names += f"; and {more} more pairs" if more > 0 else ""
        within = (
            f": differences of up to {widest:.2f} {unit} are within the {100 * LEVEL:.0f} % "
            "intervals"
            if any(c.low < c.high for c in open_pairs)
            else ""
        )
        lines.append(
            f"The data do not show a difference between {names}. That is no proof that they are "
            f"equal{within}."
        )
    if len(scores) > 1 and not compared:
        lines.append(
            "The data show no difference: fewer than two seeds are common to any two, so that "
            "nothing can be tested. Run each with the same two seeds or more."
        )
    fewest = min(len(of_seed) for of_seed in scores.values())
    coverage = next((share for count, share in COVERAGE.items() if fewest <= count), None)
    if fewest > 1 and coverage is not None:
        lines.append(
            f"With {fewest} seeds the bootstrap interval of a mean is too short: of normal values "
            f"it holds the true mean in about {100 * coverage:.0f} % of cases, not in "
            f"{100 * LEVEL:.0f} %."
        )
    if fewest == 1:
        lines.append("One seed says nothing about spread.")
    shares = [100 * v.share for v in (variance or {}).values() if math.isfinite(v.share)]
    if shares:
        low, high = f"{min(shares):.0f}", f"{max(shares):.0f}"
        lines.append(
            f"Of the variance of one trained cell {low if low == high else f'{low} to {high}'} % "
            "is the search's, the rest that of training it."
        )
    return lines


def _p(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "below 0.001"
