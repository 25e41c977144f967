"""Genotypes named on a command line, and their pictures."""

import re
from pathlib import Path

from jaxnas.core import names
from jaxnas.report import draw_cell, run_reader
from jaxnas.spaces import dataflow, registry
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces.genotype import Genotype, GenotypeError

SIGNS = re.compile(r"[|{(]")  # of a genotype's text, in all notations


def named(text: str) -> tuple[Genotype, str]:
    """(genotype, a short name): of a file, a run folder, a published name, or a text itself.

    A text is in any notation of `registry.parse_genotype`. Raises GenotypeError if there is none
    or it is invalid.
    """
    if SIGNS.search(text) and not _exists(text):
        return registry.parse_genotype(text), "genotype"
    path = Path(text).expanduser()
    if text in registry.published() and not path.exists():
        return registry.published()[text], text
    if path.is_dir():
        return read(path / "genotype.json"), path.resolve().name
    if not path.exists():
        raise GenotypeError(
            f"No genotype {text!r}: {names.hint(text, registry.published())}give a "
            "genotype.json, a run folder, a genotype's text, or "
            f"one of {', '.join(registry.published())}."
        )
    stem = path.resolve().parent.name if path.name == "genotype.json" else path.stem
    return read(path), stem or "genotype"


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # too long for a path, or no home
        return False


def read(path: Path) -> Genotype:
    """The genotype in a file. Raises GenotypeError, its message with the path."""
    try:
        return run_reader.read_genotype(path)
    except GenotypeError as error:
        raise GenotypeError(f"{path}: {error}") from error
    except OSError as error:
        raise GenotypeError(
            f"Cannot read {path}: {error.strerror or error}. Give a file that jaxnas search wrote."
        ) from error


def check_connected(genotype: Genotype) -> None:
    """Raises GenotypeError for a network whose output does not depend on its input."""
    if dead := _dead_cells(genotype):
        raise GenotypeError(
            f"No path leads from input to output of the {' and '.join(dead)} cell, so that the "
            "network computes nothing: give a genotype with fewer `none`."
        )


def warnings(genotype: Genotype) -> list[str]:
    """A line for each cell that computes nothing, wholly or in part."""
    dead = _dead_cells(genotype)
    lines = [
        f"WARNING: no path leads from input to output of the {draw_cell.label(name)} cell: it "
        "computes nothing, whatever its input."
        for name in dead
    ]
    return lines + [
        f"WARNING: of the output of the {draw_cell.label(name)} cell, node "
        f"{', '.join(map(str, nodes))} is always 0: no path from the input leads there."
        for name, nodes in dataflow.dead_outputs(genotype).items()
        if name not in dead
    ]


def _dead_cells(genotype: Genotype) -> list[str]:
    return [
        name
        for name, cell in genotype.cells.items()
        if not dataflow.is_connected(genotype._replace(cells={name: cell}))
    ]


def pictures(genotype: Genotype, target: Path) -> list[Path]:
    """Draws each cell as SVG and PNG into a folder; returns the SVG files.

    Raises ValueError for a cell that cannot be drawn, and OSError.
    """
    genotype_text.check(genotype)
    paths = []
    for name, stem in draw_cell.stems(genotype.cells).items():
        draw_cell.save(genotype.cells[name], target, stem, f"{draw_cell.label(name)} cell")
        paths.append(target / f"{stem}.svg")
    return paths
