"""What happened over time, and how the result compares, as charts.

Every function returns one `<svg>` element and takes plain numbers; numbers that are not
finite are left out.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.report import cell_layout, figures

_HUES = ("blue", "orange", "green", "violet", "rose", "teal")
_POINTS = 400  # more than a screen shows; longer series are averaged in buckets


class Series(NamedTuple):
    x: Sequence[float]
    y: Sequence[float]


def lines(
    title: str, series: Mapping[str, Series], *, x_label: str, y_label: str, percent: bool = False
) -> str:
    """One line a series, named at its end; `percent` shows fractions as per cent."""
    title = figures.printable(title)
    drawn = {figures.printable(name): _tidy(line) for name, line in series.items()}
    drawn = {name: line for name, line in drawn.items() if len(line.x)}
    if not drawn:
        raise ValueError(f"{title}: no finite number to draw.")
    scale = 100.0 if percent else 1.0
    with figures.figure(440, 270) as fig:
        axes = fig.add_axes((0.135, 0.165, 0.64, 0.68))
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.set_ylabel(f"{y_label} (%)" if percent else y_label)
        axes.grid(axis="y")
        axes.tick_params(length=0)
        ends = []
        for (name, line), hue in zip(drawn.items(), itertools.cycle(_HUES), strict=False):
            y = scale * line.y
            mark = "o" if len(y) == 1 else None
            axes.plot(line.x, y, color=figures.LIGHT[hue], marker=mark, markersize=5)
            ends.append((y[-1], name, hue))
        axes.margins(x=0.01, y=0.08)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=7)
        axes.yaxis.get_major_locator().set_params(nbins=6)
        _name_ends(axes, ends)
        last = ", ".join(f"{name} {value:.4g}" for value, name, _ in ends)
        return figures.svg(fig, f"{title}, by {x_label}; last values: {last}")


def reliability(
    confidence: Sequence[float], accuracy: Sequence[float], count: Sequence[int], ece: float
) -> str:
    """What the network promises against what it keeps, with how often below."""
    confidence, accuracy = np.asarray(confidence, float), np.asarray(accuracy, float)
    count = np.asarray(count, float)
    if not (confidence.shape == accuracy.shape == count.shape) or not count.sum() > 0:
        raise ValueError("A reliability diagram needs equally many bins, and a filled one.")
    bins = len(count)
    centre = (np.arange(bins) + 0.5) / bins
    filled = count > 0
    with figures.figure(440, 380) as fig:
        axes = fig.add_axes((0.135, 0.33, 0.82, 0.565))
        axes.set_title("Confidence against accuracy")
        axes.plot([0, 100], [0, 100], color=figures.LIGHT["faint"], linewidth=1.2, dashes=(4, 3))
        bar = {"width": 86 / bins, "linewidth": 0}
        axes.bar(100 * centre[filled], 100 * accuracy[filled], color=figures.LIGHT["blue"], **bar)
        axes.bar(
            100 * centre[filled], 100 * (confidence - accuracy)[filled],
            bottom=100 * accuracy[filled], width=86 / bins, linewidth=1,
            facecolor=figures.LIGHT["rose-soft"], edgecolor=figures.LIGHT["rose"], alpha=0.75,
        )  # fmt: skip
        axes.set(xlim=(0, 100), ylim=(0, 103), ylabel="accuracy (%)")
        axes.text(3, 95, f"ECE {100 * ece:.1f} %", size=12, weight="bold", va="center")
        axes.text(3, 87, "pink: gap to the promise", size=9, va="center",
                  color=figures.LIGHT["rose"])  # fmt: skip
        axes.grid(axis="y")
        axes.tick_params(length=0, labelbottom=False)
        below = fig.add_axes((0.135, 0.125, 0.82, 0.15))
        below.bar(100 * centre, count, color=figures.LIGHT["faint"], width=86 / bins)
        below.set(xlim=(0, 100), xlabel="confidence (%)", ylabel="images")
        below.yaxis.get_major_locator().set_params(integer=True, nbins=2)
        below.tick_params(length=0)
        fig.align_ylabels()
        return figures.svg(
            fig, f"Reliability diagram of {int(count.sum())} images; ECE {100 * ece:.1f} %"
        )


def comparison(found: float, random: Sequence[float], digits: int = 2) -> str:
    """The found cell's accuracy (a fraction) beside those of random cells trained alike."""
    values = 100 * np.asarray([value for value in random if math.isfinite(value)], float)
    if not len(values) or not math.isfinite(found):
        raise ValueError("A comparison needs the found cell's accuracy and a random cell's.")
    found = 100 * found
    mean = values.mean()
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    with figures.figure(440, 210) as fig:
        axes = fig.add_axes((0.2, 0.23, 0.755, 0.58))
        axes.set_title("Test accuracy, found against random")
        ink, blue, soft = (figures.LIGHT[name] for name in ("muted", "blue", "node"))
        axes.axvspan(mean - spread, mean + spread, ymax=0.5, color=soft, linewidth=0)
        axes.plot([mean, mean], [-0.42, 0.42], color=ink, linewidth=1.6)
        # Equal results stay visible: a small, fixed scatter across the row.
        across = 0.16 * ((np.arange(len(values)) % 3) - 1) if len(values) > 1 else [0.0]
        axes.plot(values, across, "o", color=ink, markersize=8, alpha=0.75, markeredgewidth=0)
        axes.plot([found], [1], "D", color=blue, markersize=11, markeredgewidth=0)
        axes.plot([found, found], [-0.42, 1], color=blue, linewidth=1.2, dashes=(3, 3), zorder=0)
        low, high = min(values.min(), mean - spread, found), max(values.max(), mean + spread, found)
        reach = max(high - low, 0.2)
        axes.set(
            ylim=(-0.6, 1.5), xlim=(low - 0.22 * reach, high + 0.3 * reach), xlabel="top-1 (%)"
        )
        offset = dict(textcoords="offset points", va="center")
        axes.annotate(
            f"{found:.{digits}f}", (found, 1), (11, 0), weight="bold", color=blue, **offset
        )
        text = f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if len(values) > 1 else "")
        axes.annotate(text, (mean, 0.42), (0, 8), ha="center", size=9, color=ink, **offset)
        axes.set_yticks([1, 0], ["found", f"random × {len(values)}"], size=10)
        axes.tick_params(length=0)
        axes.xaxis.get_major_locator().set_params(nbins=6)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        return figures.svg(
            fig, f"Top-1: found cell {found:.{digits}f} %, {len(values)} random cells {text} %"
        )


def _tidy(line: Series) -> Series:
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    keep = np.isfinite(x) & (np.abs(y) < 1e30)  # beyond, axes have no room for numbers
    x, y = x[keep], y[keep]
    if len(x) > _POINTS:
        buckets = np.array_split(np.arange(len(x)), _POINTS)
        x, y = (np.array([values[b].mean() for b in buckets]) for values in (x, y))
    return Series(x, y)


def _name_ends(axes: Any, ends: list[tuple[float, str, str]]) -> None:
    """Writes each line's name beside its last point, moved apart where they are close."""
    low, high = axes.get_ylim()
    tall = axes.get_window_extent().height
    ends = sorted(ends)
    wanted = [tall * (value - low) / (high - low) for value, _, _ in ends]
    placed = cell_layout.spread(wanted, [15.0] * len(ends))
    for y, (_, name, hue) in zip(placed, ends, strict=True):
        text = name if len(name) <= 12 else name[:11] + "…"
        axes.text(
            1.025, y / tall, text, transform=axes.transAxes, color=figures.LIGHT[hue],
            size=9.5, va="center", weight="bold",
        )  # fmt: skip
