"""Heat map of the gates of a cell's candidates over time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnas.report import draw_cell, figures


def heat_map(
    title: str,
    gates: np.ndarray,
    edges: Sequence[tuple[int, int]],
    candidates: Sequence[Sequence[str]],
    x: Sequence[float],
    x_label: str = "epoch",
) -> str:
    """The gates f32[T, edges, candidates] as a panel for each edge, with a row a candidate.

    Panels of one target node stand in a row, their sources from left to right. Above a panel is
    the candidate with the largest gate at the end. Raises ValueError for gates of another shape.
    """
    gates = np.asarray(gates, float)
    count = len(candidates[0]) if candidates else 0
    if gates.ndim != 3 or not gates.size or gates.shape[1:] != (len(edges), count):
        raise ValueError(
            f"{title}: gates of shape {gates.shape} do not fit {len(edges)} edges "
            f"with {count} candidates."
        )
    positions, rows, columns = _panels(edges)
    same_names = all(tuple(c) == tuple(candidates[0]) for c in candidates)
    panel_width, panel_height = 132, 11 * count + 2
    label_width = 92
    column_width = panel_width + (14 if same_names else label_width)
    row_height = panel_height + 30
    width = label_width + columns * column_width + 10 - (0 if same_names else label_width)
    width = max(width, 420)
    height = 42 + rows * row_height + 36
    finite = gates[np.isfinite(gates)]
    low, high = min(0.0, finite.min(initial=0.0)), max(finite.max(initial=0.0), 1e-9)
    with figures.figure(width, height) as fig:
        colour_map = _colour_map()
        fig.text(12 / width, 1 - 22 / height, title, size=13, weight="bold", va="center")
        _colour_bar(fig, colour_map, low, high, width, height)
        for index, (row, column) in enumerate(positions):
            left = label_width + column * column_width
            bottom = height - 42 - row * row_height - row_height + 8
            box = (left / width, bottom / height, panel_width / width, panel_height / height)
            axes = fig.add_axes(box)
            values = (gates[:, index].T - low) / (high - low)
            extent = (0, len(gates), count - 0.5, -0.5)
            image = colour_map(np.nan_to_num(values))
            axes.imshow(image, aspect="auto", interpolation="nearest", extent=extent)
            _label_panel(axes, edges[index], candidates[index], gates[-1, index])
            ticks = sorted({0, len(gates) // 2, len(gates) - 1})
            bottom_row = not any(r == row + 1 and c == column for r, c in positions)
            labels = [f"{x[tick]:g}" for tick in ticks] if bottom_row else []
            axes.set_xticks([tick + 0.5 for tick in ticks] if bottom_row else [], labels, size=8)
            if column == 0 or not same_names:
                names = [draw_cell.label(name) for name in candidates[index]]
                axes.set_yticks(range(count), names, size=7.5)
            else:
                axes.set_yticks([])
        fig.text(label_width / width, 12 / height, x_label, size=9, color=figures.LIGHT["muted"])
        winners = "; ".join(
            f"{source} to {target}: {draw_cell.label(names[int(np.argmax(final))])}"
            for (source, target), names, final in zip(edges, candidates, gates[-1], strict=True)
        )
        return figures.svg(fig, f"{title}: widest open at the end, {winners}")


def _panels(edges: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], int, int]:
    """(row, column) of each edge's panel, and how many of both: a row a target node.

    Panels of chains, whose nodes have one edge each, fill rows of five.
    """
    targets = sorted({target for _, target in edges})
    positions: list[tuple[int, int]] = []
    filled = dict.fromkeys(targets, 0)
    for _, target in edges:
        positions.append((targets.index(target), filled[target]))
        filled[target] += 1
    if max(filled.values()) == 1:
        positions = [(index // 5, index % 5) for index in range(len(edges))]
    return (
        positions,
        1 + max(row for row, _ in positions),
        1 + max(column for _, column in positions),
    )


def _colour_map() -> Any:
    """One hue, from nearly transparent to opaque, for light and dark backgrounds."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    ends = [to_rgba(figures.LIGHT["blue"], 0.05), to_rgba("#3f7df0", 1.0)]
    return LinearSegmentedColormap.from_list("gates", ends)


def _colour_bar(fig, colour_map, low, high, width, height) -> None:
    axes = fig.add_axes(((width - 172) / width, 1 - 27 / height, 90 / width, 9 / height))
    axes.imshow(colour_map(np.linspace(0, 1, 64))[None], aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    for x, text, side in ((-3, f"gate {low:.2g}", "right"), (66, f"{high:.2g}", "left")):
        axes.text(x, 0, text, size=9, ha=side, va="center", color=figures.LIGHT["muted"])


def _label_panel(axes: Any, edge: tuple[int, int], names: Sequence[str], final: Any) -> None:
    best = names[int(np.argmax(final))]
    hue = draw_cell.family(best).colour
    above = dict(transform=axes.transAxes, va="bottom", size=8.5)
    axes.text(0, 1.04, f"{edge[0]} → {edge[1]}", color=figures.LIGHT["muted"], **above)
    colour = figures.LIGHT["muted" if hue == "faint" else hue]
    axes.text(1, 1.04, draw_cell.label(best), ha="right", color=colour, weight="bold", **above)
    for side in axes.spines.values():
        side.set(visible=True, color=figures.LIGHT["grid"])
    axes.tick_params(length=0, pad=3)
