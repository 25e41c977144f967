"""A figure in the house's colours, as text or file.

Every colour has a name, a light and a dark value. Figures are drawn in the light ones;
`themed` turns them into CSS variables, so that a page can show them in either scheme.
matplotlib is imported where it is used: it costs a second.
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

from jaxnas.run import files

Figure = Any  # matplotlib.figure.Figure


class Colour(NamedTuple):
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
    "svg.fonttype": "path",  # letters look alike, and fit, wherever the file is opened
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
    "text.parse_math": False,  # names come from files: a dollar sign is a dollar sign
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
    """The text without characters that no font can draw."""
    return "".join(character if character.isprintable() else "?" for character in text)


@contextlib.contextmanager
def figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of width x height CSS pixels; draw it and save it inside the `with`."""
    import matplotlib
    from matplotlib.figure import Figure as MatplotlibFigure

    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # A name in a script the font lacks is drawn as boxes; the page has it as text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield MatplotlibFigure(figsize=(width / 72, height / 72), dpi=72)


def svg(fig: Figure, label: str) -> str:
    """The figure as one `<svg>` element; `label` says to a screen reader what it shows."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    fig.savefig(text, format="svg", metadata=nothing)
    body = text.getvalue()[text.getvalue().index("<svg") :]
    body = re.sub(r"\s*<metadata>.*?</metadata>|\s*<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'(width|height)="([\d.]+)pt"', r'\1="\2"', body, count=2)
    name = html.escape(printable(label), quote=True)
    return body.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1).strip()


def save_png(fig: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes the figure at three times its size on an opaque ground, atomically. Raises OSError."""
    with files.atomic_write(path) as file:
        fig.savefig(file, format="png", dpi=216, facecolor=LIGHT["surface"])
    return Path(path)


def save_text(text: str, path: str | os.PathLike[str]) -> Path:
    """Writes text as UTF-8, atomically. Raises OSError."""
    with files.atomic_write(path) as file:
        file.write(text.encode())
    return Path(path)


def themed(picture: str, prefix: str) -> str:
    """An `<svg>` ready to stand inside a page: colours as variables, ids under `prefix`."""
    picture = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", picture)
    picture = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', picture)
    picture = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", picture)
    names = {colour.light: name for name, colour in COLOURS.items()}
    known = re.compile("|".join(names))
    return known.sub(lambda found: f"var(--{names[found[0]]})", picture)


def stylesheet() -> str:
    """The colours as CSS variables, in the light scheme and in the dark one."""
    light = "".join(f"--{name}:{colour.light};" for name, colour in COLOURS.items())
    dark = "".join(f"--{name}:{colour.dark};" for name, colour in COLOURS.items())
    return (
        f":root{{color-scheme:light dark;{light}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
        f"@media print{{:root{{color-scheme:light;{light}}}}}"
    )
