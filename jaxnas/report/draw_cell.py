"""A cell as a picture: nodes from left to right, operations on the way."""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jaxnas.report import cell_layout, figures

_MARGIN = 18
_TITLE = 26
_FONT = 10.5


class OpFamily(NamedTuple):
    """Operations that share a colour."""

    name: str
    colour: str  # of `figures.COLOURS`; its pale side is `colour-soft`


def family(op: str) -> OpFamily:
    """The family of an operation, by its name."""
    for pattern, name, colour in (
        (r"none|zero", "none", "faint"),
        (r"sep_", "separable convolution", "blue"),
        (r"dil_", "dilated convolution", "violet"),
        (r".*pool", "pooling", "orange"),
        (r"skip|identity", "skip", "green"),
        (r".*conv", "convolution", "teal"),
    ):
        if re.match(pattern, op):
            return OpFamily(name, colour)
    return OpFamily("other", "rose")


def label(op: str) -> str:
    """The name of an operation as people write it: `sep_conv_3x3` is `sep conv 3×3`."""
    text = re.sub(r"(?<=\d)x(?=\d)", "×", op.replace("nor_conv", "conv"))
    text = text.replace("skip_connect", "skip").replace("_", " ").strip()
    text = figures.printable(text)
    return text if len(text) <= 24 else text[:23] + "…"


def cell_svg(cell: Any, title: str = "") -> str:
    """The cell as an `<svg>` element.

    `cell` has `edges` ((source, target, op), ...), `inputs` and `concat`, as
    `genotype.Cell`. Raises ValueError where the edges make no cell (`cell_layout.check`).
    """
    placed = _placed(cell)
    with figures.figure(*_size(placed, title)) as fig:
        _paint(fig, cell, placed, title)
        return figures.svg(fig, describe(cell, title))


def cell_png(cell: Any, path: str | os.PathLike[str], title: str = "") -> Path:
    """Writes the cell as a PNG file; raises as `cell_svg`, and OSError."""
    placed = _placed(cell)
    with figures.figure(*_size(placed, title)) as fig:
        _paint(fig, cell, placed, title)
        return figures.save_png(fig, path)


def save(cell: Any, folder: str | os.PathLike[str], stem: str, title: str = "") -> str:
    """Writes <stem>.svg and <stem>.png into a folder and returns the `<svg>` element."""
    picture = cell_svg(cell, title)
    figures.save_text(picture, Path(folder, f"{stem}.svg"))
    cell_png(cell, Path(folder, f"{stem}.png"), title)
    return picture


def stems(names: Iterable[str]) -> dict[str, str]:
    """A file name for each cell, `cell_<name>`: safe on every system, and no two alike."""
    chosen: dict[str, str] = {}
    for name in names:
        stem = "cell_" + (re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60] or "unnamed")
        while stem.lower() in (taken.lower() for taken in chosen.values()):
            stem += "_"
        chosen[name] = stem
    return chosen


def describe(cell: Any, title: str = "") -> str:
    """The cell in words, for those who cannot see the picture."""
    parts = (f"{label(op)} from {source} to {target}" for source, target, op in cell.edges)
    return f"{title or 'cell'}: {'; '.join(parts)}; output {', '.join(map(str, cell.concat))}"


def _placed(cell: Any) -> cell_layout.Layout:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    cell_layout.check(cell)
    font = FontProperties(family="DejaVu Sans", size=_FONT)
    wide = lambda text: TextPath((0, 0), text, prop=font, usetex=False).get_extents().width
    # TextPath would read dollars as mathematics; only widths are taken, so hide them.
    widths = {op: wide(label(op).replace("$", "S")) + 24 for _, _, op in cell.edges}
    return cell_layout.place(cell, widths, 46 if cell.inputs <= 2 else 62)


def _size(placed: cell_layout.Layout, title: str) -> tuple[float, float]:
    tail = 26 if placed.output is None else 30
    height = placed.height + 2 * _MARGIN + (_TITLE if title else 0)
    return placed.width + 2 * _MARGIN + tail, height


def _paint(fig: Any, cell: Any, placed: cell_layout.Layout, title: str) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    width, height = _size(placed, title)
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(-_MARGIN, height - _MARGIN))
    colour = figures.LIGHT

    for link in placed.links:
        _draw_link(axes, link)
    for op in placed.operations:
        _draw_operation(axes, op, placed.nodes[op.edge[1]])

    def box(centre, wide, high, face, edge, text, rounding, **font):
        corner = (centre[0] - wide / 2, centre[1] - high / 2)
        shape = FancyBboxPatch(
            corner, wide, high, f"round,pad=0,rounding_size={rounding}",
            facecolor=face, edgecolor=edge, linewidth=1.4, zorder=4,
        )  # fmt: skip
        axes.add_patch(shape)
        where = dict(ha="center", va="center_baseline", zorder=5)
        axes.text(*centre, text, **{**where, "size": 11, "color": colour["ink"], **font})

    names = _input_names(cell.inputs)
    half = 23 if cell.inputs <= 2 else 31
    sink = None if placed.output else cell.concat[0]
    for node, centre in placed.nodes.items():
        if node < cell.inputs:
            text, math = names[node]
            box(centre, 2 * half, 32, colour["node"], colour["muted"], text, 8,
                parse_math=math)  # fmt: skip
        elif node == sink:
            _draw_output(axes, box, centre)
        else:
            face = dict(facecolor=colour["surface"], edgecolor=colour["ink"])
            axes.add_patch(Circle(centre, cell_layout.NODE / 2, linewidth=1.4, zorder=4, **face))
            axes.text(*centre, str(node), size=10.5, weight="bold", zorder=5,
                      ha="center", va="center_baseline")  # fmt: skip
    if placed.output:
        _draw_output(axes, box, placed.output)
    if title:
        top = height - _MARGIN - 20
        axes.text(0, top, figures.printable(title), size=13, weight="bold", va="center")


def _input_names(inputs: int) -> list[tuple[str, bool]]:
    """(text, whether it is mathematics) for each input node."""
    if inputs == 1:
        return [("$c_{k-1}$", True)]
    if inputs == 2:
        return [("$c_{k-2}$", True), ("$c_{k-1}$", True)]
    return [(f"input {node}", False) for node in range(inputs)]


def _draw_output(axes: Any, box: Any, centre: cell_layout.Point) -> None:
    x, y = centre
    wide = 56
    box(
        (x - cell_layout.NODE / 2 + wide / 2, y), wide, 34, figures.LIGHT["ink"],
        figures.LIGHT["ink"], "output", 8, color=figures.LIGHT["surface"], size=10.5,
    )  # fmt: skip


def _draw_link(axes: Any, link: cell_layout.Link) -> None:
    kinds = {family(op).colour for op in link.serves}
    alive = kinds - {"faint"}
    style = dict(color=figures.LIGHT["faint"], linewidth=1.1, zorder=1)
    if link.op and alive:
        style = dict(color=figures.LIGHT[alive.pop()], linewidth=1.7, zorder=3)
    elif alive:
        style = dict(color=figures.LIGHT["muted"], linewidth=1.7, zorder=2)
    elif kinds:
        style["linestyle"] = (0, (3, 3))
    _curve(axes, link.start, link.end, link.lane_end, **style)


def _draw_operation(axes: Any, op: cell_layout.Operation, node: cell_layout.Point) -> None:
    from matplotlib.patches import FancyBboxPatch

    name = op.edge[2]
    colour = family(name).colour
    line = figures.LIGHT[colour]
    faint = colour == "faint"
    x, y = op.centre
    dashed = dict(linestyle=(0, (3, 3))) if faint else {}
    shape = FancyBboxPatch(
        (x - op.width / 2, y - cell_layout.PILL / 2), op.width, cell_layout.PILL,
        f"round,pad=0,rounding_size={cell_layout.PILL / 2}", linewidth=1.1, zorder=4,
        facecolor=figures.LIGHT["surface" if faint else f"{colour}-soft"], edgecolor=line, **dashed,
    )  # fmt: skip
    axes.add_patch(shape)
    axes.text(
        x, y, label(name), ha="center", va="center_baseline", size=_FONT, zorder=5,
        color=figures.LIGHT["muted"] if faint else figures.LIGHT["ink"],
    )  # fmt: skip
    start, end = (x + op.width / 2, y), (node[0] - cell_layout.NODE / 2, node[1])
    _curve(axes, start, end, None, color=line, linewidth=1.1 if faint else 1.7, zorder=3, **dashed)


def _curve(axes: Any, start, end, onward, **style) -> None:
    """A level-ended curve from start to end, and a level line onward."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Line

    half = (end[0] - start[0]) / 2
    points = [start, (start[0] + half, start[1]), (end[0] - half, end[1]), end]
    codes = [Line.MOVETO, Line.CURVE4, Line.CURVE4, Line.CURVE4]
    if onward:
        points.append(onward)
        codes.append(Line.LINETO)
    style["edgecolor"] = style.pop("color")
    axes.add_patch(PathPatch(Line(points, codes), facecolor="none", **style))
