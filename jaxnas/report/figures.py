"""matplotlib figures in one palette, as SVG text or files.

Every colour has a name, a light and a dark value. Figures are drawn in the light ones; `themed`
turns them into CSS variables, so that a page can show them in either scheme. matplotlib is imported
where it is used, since that takes a second.
"""

import contextlib
import html
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnas.run import files

Figure = Any  # matplotlib.figure.Figure


class Colour(NamedTuple):
    """A colour of the palette, in the light and in the dark scheme."""

    light: str  # as matplotlib prints it: lower case, six digits, and never pure black
    dark: str


COLOURS = {
    "ink": Colour("#1b2430", "#e6eaf0"),
    "muted": Colour("#5d6878", "#9aa6b6"),
    "faint": Colour("#a9b3c0", "#5a6675"),
    "grid": Colour("#e4e8ee", "#2b333e"),
    "surface": Colour("#fffffe", "#171c23"),
    "node": Colour("#f1f4f8", "#222a34"),
    "blue": Colour("#2a63c8", "#7fabff"),
    "blue-soft": Colour("#dfe9fb", "#1d2f52"),
    "violet": Colour("#7a45c4", "#bd97f7"),
    "violet-soft": Colour("#ece3fa", "#352654"),
    "teal": Colour("#0a7c86", "#4fc6cf"),
    "teal-soft": Colour("#d6f0f1", "#0f3a3f"),
    "orange": Colour("#b4590a", "#f5a55c"),
    "orange-soft": Colour("#fdead6", "#4a2e12"),
    "green": Colour("#2b7d3e", "#76cc88"),
    "green-soft": Colour("#dcf2e0", "#183a22"),
    "rose": Colour("#b02a5b", "#f58bb2"),
    "rose-soft": Colour("#fbe0ea", "#4d1c32"),
}
LIGHT = {name: colour.light for name, colour in COLOURS.items()}

_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "svg.fonttype": "path",  # text looks the same wherever the file is opened
    "svg.hashsalt": "jaxnas",  # equal figures give equal bytes
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": LIGHT["faint"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 1,
    "text.color": LIGHT["ink"],
    "text.parse_math": False,  # dollars in names from files are no mathematics
    "xtick.color": LIGHT["faint"],
    "ytick.color": LIGHT["faint"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["muted"],
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
}


def printable(text: str) -> str:
    """`text` with `?` for characters that cannot be drawn."""
    return "".join(character if character.isprintable() else "?" for character in text)


@contextlib.contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of width x height CSS pixels, to be drawn and saved inside the `with`."""
    import matplotlib
    from matplotlib.figure import Figure as MatplotlibFigure

    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes; the page has the name as text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield MatplotlibFigure(figsize=(width / 72, height / 72), dpi=72)


def svg(fig: Figure, label: str) -> str:
    """The figure as one `<svg>` element; `label` describes it for screen readers."""
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    fig.savefig(file, format="svg", metadata=no_metadata)
    text = file.getvalue()
    body = text[text.index("<svg") :]
    body = re.sub(r"\s*<metadata>.*?</metadata>|\s*<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', body, count=2)
    name = html.escape(printable(label), quote=True)
    return body.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1).strip()


def save_png(fig: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a PNG of three times the size, on an opaque ground, atomically. Raises OSError."""
    with files.atomic_write(path) as file:
        fig.savefig(file, format="png", dpi=216, facecolor=LIGHT["surface"])
    return Path(path)


def save_text(text: str, path: str | os.PathLike[str]) -> Path:
    """Writes text as UTF-8, atomically. Raises OSError."""
    with files.atomic_write(path) as file:
        file.write(text.encode())
    return Path(path)


def predicted_against_measured(
    path: Path, measured: np.ndarray, predicted: np.ndarray, device: str, unit: str = "ms"
) -> None:
    """Writes a scatter plot as SVG: a dot a network, the diagonal, and a band of 10 percent.

    measured, predicted: f64[N]. Raises RunError if it cannot be written.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as MatplotlibFigure

    figure = MatplotlibFigure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    ends = np.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
    axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color="0.9", label="within 10 %")
    axes.plot(ends, ends, color="0.5", linewidth=1)
    axes.plot(measured, predicted, ".", markersize=4, alpha=0.6)
    axes.set(xlabel=f"measured, {unit}", ylabel=f"predicted, {unit}", title=device)
    axes.legend(loc="upper left")
    canvas = FigureCanvasSVG(figure)
    with files.as_run_error(path), files.atomic_write(path) as file:
        canvas.print_svg(file)


def themed(picture: str, prefix: str) -> str:
    """An `<svg>` for use inside a page: colours as CSS variables, ids that begin with `prefix`."""
    picture = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", picture)
    picture = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', picture)
    picture = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", picture)
    names = {colour.light: name for name, colour in COLOURS.items()}
    colours = re.compile("|".join(names))
    return colours.sub(lambda match: f"var(--{names[match[0]]})", picture)


def stylesheet() -> str:
    """The colours as CSS variables, in the light scheme and in the dark one."""
    light = "".join(f"--{name}:{colour.light};" for name, colour in COLOURS.items())
    dark = "".join(f"--{name}:{colour.dark};" for name, colour in COLOURS.items())
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"@media print{{:root{{color-scheme:light;{light}}}}}"
    )
