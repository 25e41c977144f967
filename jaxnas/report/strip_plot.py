"""Strip plot: the results of several groups as dots, with reference values as lines."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jaxnas.report import figures


def save(
    title: str,
    groups: Mapping[str, Sequence[float]],
    folder: Path,
    stem: str,
    *,
    label: str,
    lines: Mapping[str, float] | None = None,
    digits: int = 2,
) -> str:
    """Writes STEM.svg and STEM.png into a folder and returns the `<svg>` element.

    Each group is a row: its values as dots, their mean as a bar across the row and as a number.
    `lines` are reference values by name, drawn through all rows. `label` is that of the axis.
    Raises ValueError where no value is finite, and OSError.
    """
    groups = {
        figures.printable(name): [v for v in values if math.isfinite(v)]
        for name, values in groups.items()
    }
    groups = {name: values for name, values in groups.items() if values}
    if not groups:
        raise ValueError(f"{title}: no finite number to draw.")
    lines = lines or {}
    # Names of lines are above the rows, each in a separate row, so that they do not overlap.
    height = 92 + 26 * len(groups) + 15 * len(lines)
    left = max(120, 20 + 6.5 * max(map(len, groups)))  # for the names
    width = 480 + left
    with figures.figure(width, height) as fig:
        above, below = 34 + 15 * len(lines), 52
        axes = fig.add_axes(
            (left / width, below / height, 396 / width, (height - above - below) / height)
        )
        fig.text(0.02, 1 - 20 / height, figures.printable(title), size=11, weight="bold")
        rows = len(groups) - 1 - np.arange(len(groups))
        for row, values in zip(rows, groups.values(), strict=True):
            mean = float(np.mean(values))
            # A small, fixed scatter across the row keeps equal results apart.
            across = 0.14 * ((np.arange(len(values)) % 3) - 1) if len(values) > 1 else [0.0]
            axes.plot(
                values, row + across, "o", color=figures.LIGHT["blue"], markersize=6, alpha=0.75,
                markeredgewidth=0, clip_on=False,
            )  # fmt: skip
            axes.plot([mean] * 2, [row - 0.34, row + 0.34], color=figures.LIGHT["ink"])
            axes.text(
                1.02, row, f"{mean:.{digits}f}", size=9, va="center",
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        for number, (name, value) in enumerate(lines.items()):
            axes.axvline(value, color=figures.LIGHT["orange"], linewidth=1.2, dashes=(4, 3))
            offset = (0, 4 + 15 * number)
            axes.annotate(
                f"{figures.printable(name)} {value:.{digits}f}", (value, 1), offset, size=8.5,
                xycoords=axes.get_xaxis_transform(), textcoords="offset points", ha="right",
                color=figures.LIGHT["orange"], annotation_clip=False,
            )  # fmt: skip
        axes.set_ylim(-0.6, len(groups) - 0.4)
        axes.set_yticks(rows, list(groups), size=10)
        axes.set_xlabel(label)
        axes.margins(x=0.04)
        axes.tick_params(length=0)
        axes.grid(axis="x")
        axes.spines["left"].set_visible(False)
        means = ", ".join(f"{name} {np.mean(v):.{digits}f}" for name, v in groups.items())
        picture = figures.svg(fig, f"{title}; means of {label}: {means}")
        figures.save_png(fig, Path(folder) / f"{stem}.png")
    figures.save_text(picture, Path(folder) / f"{stem}.svg")
    return picture
