"""Drawings of a cell's graph: nodes from left to right, operations on the edges."""

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
    """A kind of operations, drawn in one colour."""

    name: str
    colour: str  # of `figures.COLOURS`, its pale variant being `colour-soft`


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
    """The label of an operation: `sep conv 3×3` for `sep_conv_3x3`, at most 24 characters."""
    text = re.sub(r"(?<=\d)x(?=\d)", "×", op.replace("nor_conv", "conv"))
    text = text.replace("skip_connect", "skip").replace("_", " ").strip()
    text = figures.printable(text)
    return text if len(text) <= 24 else text[:23] + "…"


def cell_svg(cell: Any, title: str = "") -> str:
    """The cell as an `<svg>` element.

    `cell` has `edges` ((source, target, op), ...), `inputs` and `concat`, as
    `genotype.Cell`. Raises ValueError as `cell_layout.check` does.
    """
    layout = _laid_out(cell)
    with figures.figure(*_size(layout, title)) as fig:
        _paint(fig, cell, layout, title)
        return figures.svg(fig, describe(cell, title))


def cell_png(cell: Any, path: str | os.PathLike[str], title: str = "") -> Path:
    """Writes the cell as a PNG file. Raises ValueError as `cell_svg` does, and OSError."""
    layout = _laid_out(cell)
    with figures.figure(*_size(layout, title)) as fig:
        _paint(fig, cell, layout, title)
        return figures.save_png(fig, path)


def save(cell: Any, folder: str | os.PathLike[str], stem: str, title: str = "") -> str:
    """Writes STEM.svg and STEM.png into a folder and returns the `<svg>` element.

    Raises ValueError as `cell_svg` does, and OSError.
    """
    picture = cell_svg(cell, title)
    figures.save_text(picture, Path(folder, f"{stem}.svg"))
    cell_png(cell, Path(folder, f"{stem}.png"), title)
    return picture


def stems(names: Iterable[str]) -> dict[str, str]:
    """A file name for each cell, `cell_<name>`, valid on every system; no two are equal."""
    stem_of: dict[str, str] = {}
    for name in names:
        stem = "cell_" + (re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60] or "unnamed")
        while stem.lower() in (taken.lower() for taken in stem_of.values()):
            stem += "_"
        stem_of[name] = stem
    return stem_of


def describe(cell: Any, title: str = "") -> str:
    """The cell in words, for screen readers."""
    parts = (f"{label(op)} from {source} to {target}" for source, target, op in cell.edges)
    return f"{title or 'cell'}: {'; '.join(parts)}; output {', '.join(map(str, cell.concat))}"


def _laid_out(cell: Any) -> cell_layout.Layout:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    cell_layout.check(cell)
    font = FontProperties(family="DejaVu Sans", size=_FONT)
    width = lambda text: TextPath((0, 0), text, prop=font, usetex=False).get_extents().width
    # TextPath reads dollars as mathematics; only widths are needed, so another letter does.
    widths = {op: width(label(op).replace("$", "S")) + 24 for _, _, op in cell.edges}
    return cell_layout.lay_out(cell, widths, 46 if cell.inputs <= 2 else 62)


def _size(layout: cell_layout.Layout, title: str) -> tuple[float, float]:
    tail = 26 if layout.output is None else 30
    height = layout.height + 2 * _MARGIN + (_TITLE if title else 0)
    return layout.width + 2 * _MARGIN + tail, height


def _paint(fig: Any, cell: Any, layout: cell_layout.Layout, title: str) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    width, height = _size(layout, title)
    axes = fig.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-_MARGIN, width - _MARGIN), ylim=(-_MARGIN, height - _MARGIN))
    colour = figures.LIGHT

    for link in layout.links:
        _draw_link(axes, link)
    for op in layout.operations:
        _draw_operation(axes, op, layout.nodes[op.edge[1]])

    def box(centre, extent, face, edge, text, rounding, **font):
        corner = (centre[0] - extent[0] / 2, centre[1] - extent[1] / 2)
        shape = FancyBboxPatch(
            corner, *extent, f"round,pad=0,rounding_size={rounding}",
            facecolor=face, edgecolor=edge, linewidth=1.4, zorder=4,
        )  # fmt: skip
        axes.add_patch(shape)
        placement = dict(ha="center", va="center_baseline", zorder=5)
        axes.text(*centre, text, **{**placement, "size": 11, "color": colour["ink"], **font})

    names = _input_names(cell.inputs)
    half = 23 if cell.inputs <= 2 else 31
    output_node = None if layout.output else cell.concat[0]
    for node, centre in layout.nodes.items():
        if node < cell.inputs:
            text, math = names[node]
            box(centre, (2 * half, 32), colour["node"], colour["muted"], text, 8,
                parse_math=math)  # fmt: skip
        elif node == output_node:
            _draw_output(axes, box, centre)
        else:
            face = dict(facecolor=colour["surface"], edgecolor=colour["ink"])
            axes.add_patch(Circle(centre, cell_layout.NODE / 2, linewidth=1.4, zorder=4, **face))
            axes.text(*centre, str(node), size=10.5, weight="bold", zorder=5,
                      ha="center", va="center_baseline")  # fmt: skip
    if layout.output:
        _draw_output(axes, box, layout.output)
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
    width = 56
    box(
        (x - cell_layout.NODE / 2 + width / 2, y), (width, 34), figures.LIGHT["ink"],
        figures.LIGHT["ink"], "output", 8, color=figures.LIGHT["surface"], size=10.5,
    )  # fmt: skip


def _draw_link(axes: Any, link: cell_layout.Link) -> None:
    colours = {family(op).colour for op in link.reached_ops}
    vivid = colours - {"faint"}
    style = dict(color=figures.LIGHT["faint"], linewidth=1.1, zorder=1)
    if link.op and vivid:
        style = dict(color=figures.LIGHT[vivid.pop()], linewidth=1.7, zorder=3)
    elif vivid:
        style = dict(color=figures.LIGHT["muted"], linewidth=1.7, zorder=2)
    elif colours:
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
    """A curve from start to end, level at both ends, and a level line on to `onward`."""
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
