"""Charts: metrics over time, a reliability diagram, and accuracies compared.

Every function returns one `<svg>` element; numbers that are not finite are left out.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnas.report import cell_layout, figures

_COLOURS = ("blue", "orange", "green", "violet", "rose", "teal")
_MAX_POINTS = 400  # longer series are averaged in buckets


class Series(NamedTuple):
    """A line of a chart."""

    x: Sequence[float]
    y: Sequence[float]


def lines(
    title: str, series: Mapping[str, Series], *, x_label: str, y_label: str, percent: bool = False
) -> str:
    """A line chart, each line named at its end; `percent` shows fractions as per cent.

    Raises ValueError where no number is finite.
    """
    title = figures.printable(title)
    lines = {figures.printable(name): _downsample(line) for name, line in series.items()}
    lines = {name: line for name, line in lines.items() if len(line.x)}
    if not lines:
        raise ValueError(f"{title}: no finite number to draw.")
    scale = 100.0 if percent else 1.0
    with figures.figure(440, 270) as fig:
        axes = fig.add_axes((0.135, 0.165, 0.64, 0.68))
        axes.set_title(title)
        axes.set_xlabel(x_label)
        axes.set_ylabel(f"{y_label} (%)" if percent else y_label)
        axes.grid(axis="y")
        axes.tick_params(length=0)
        line_ends = []
        for (name, line), colour in zip(lines.items(), itertools.cycle(_COLOURS), strict=False):
            y = scale * line.y
            marker = "o" if len(y) == 1 else None
            axes.plot(line.x, y, color=figures.LIGHT[colour], marker=marker, markersize=5)
            line_ends.append((y[-1], name, colour))
        axes.margins(x=0.01, y=0.08)
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=7)
        axes.yaxis.get_major_locator().set_params(nbins=6)
        _label_ends(axes, line_ends)
        last = ", ".join(f"{name} {value:.4g}" for value, name, _ in line_ends)
        return figures.svg(fig, f"{title}, by {x_label}; last values: {last}")


def reliability(
    confidence: Sequence[float], accuracy: Sequence[float], count: Sequence[int], ece: float
) -> str:
    """A reliability diagram: accuracy by confidence, over a histogram of the confidence.

    `confidence`, `accuracy` and `count` are of the bins, `ece` is the expected calibration error.
    Raises ValueError for bins of unequal numbers, and where all are empty.
    """
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


def comparison(selected_top1: float, random_top1: Sequence[float], digits: int = 2) -> str:
    """The accuracies of the found cell and of random cells trained alike, as fractions.

    Raises ValueError unless there is a finite one of each.
    """
    values = 100 * np.asarray([value for value in random_top1 if math.isfinite(value)], float)
    if not len(values) or not math.isfinite(selected_top1):
        raise ValueError("A comparison needs the found cell's accuracy and a random cell's.")
    selected = 100 * selected_top1
    mean = values.mean()
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    with figures.figure(440, 210) as fig:
        axes = fig.add_axes((0.2, 0.23, 0.755, 0.58))
        axes.set_title("Test accuracy, found against random")
        grey, blue, pale = (figures.LIGHT[name] for name in ("muted", "blue", "node"))
        axes.axvspan(mean - spread, mean + spread, ymax=0.5, color=pale, linewidth=0)
        axes.plot([mean, mean], [-0.42, 0.42], color=grey, linewidth=1.6)
        # A small, fixed scatter across the row keeps equal results apart.
        jitter = 0.16 * ((np.arange(len(values)) % 3) - 1) if len(values) > 1 else [0.0]
        axes.plot(values, jitter, "o", color=grey, markersize=8, alpha=0.75, markeredgewidth=0)
        axes.plot([selected], [1], "D", color=blue, markersize=11, markeredgewidth=0)
        axes.plot(
            [selected, selected], [-0.42, 1], color=blue, linewidth=1.2, dashes=(3, 3), zorder=0
        )
        low, high = (
            min(values.min(), mean - spread, selected),
            max(values.max(), mean + spread, selected),
        )
        width = max(high - low, 0.2)
        axes.set(
            ylim=(-0.6, 1.5), xlim=(low - 0.22 * width, high + 0.3 * width), xlabel="top-1 (%)"
        )
        style = dict(textcoords="offset points", va="center")
        axes.annotate(
            f"{selected:.{digits}f}", (selected, 1), (11, 0), weight="bold", color=blue, **style
        )
        text = f"{mean:.{digits}f}" + (f" ± {spread:.{digits}f}" if len(values) > 1 else "")
        axes.annotate(text, (mean, 0.42), (0, 8), ha="center", size=9, color=grey, **style)
        axes.set_yticks([1, 0], ["found", f"random × {len(values)}"], size=10)
        axes.tick_params(length=0)
        axes.xaxis.get_major_locator().set_params(nbins=6)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        return figures.svg(
            fig, f"Top-1: found cell {selected:.{digits}f} %, {len(values)} random cells {text} %"
        )


def _downsample(line: Series) -> Series:
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    is_plottable = np.isfinite(x) & (np.abs(y) < 1e30)  # larger numbers do not fit next to the axes
    x, y = x[is_plottable], y[is_plottable]
    if len(x) > _MAX_POINTS:
        buckets = np.array_split(np.arange(len(x)), _MAX_POINTS)
        x, y = (np.array([values[b].mean() for b in buckets]) for values in (x, y))
    return Series(x, y)


def _label_ends(axes: Any, line_ends: list[tuple[float, str, str]]) -> None:
    """Writes the name of each line next to its last point, without overlap."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    line_ends = sorted(line_ends)
    targets = [height * (value - low) / (high - low) for value, _, _ in line_ends]
    positions = cell_layout.spread(targets, [15.0] * len(line_ends))
    for y, (_, name, colour) in zip(positions, line_ends, strict=True):
        text = name if len(name) <= 12 else name[:11] + "…"
        axes.text(
            1.025, y / height, text, transform=axes.transAxes, color=figures.LIGHT[colour],
            size=9.5, va="center", weight="bold",
        )  # fmt: skip
