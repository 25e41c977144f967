"""Genotypes named on a command line, and their pictures."""

from pathlib import Path

from jaxnas.report import draw_cell, run_reader
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype, GenotypeError


def named(text: str) -> tuple[Genotype, str]:
    """(genotype, a short name): of a file, a run folder, or a published name.

    Raises GenotypeError if there is none or it is invalid.
    """
    path = Path(text).expanduser()
    if text in registry.published() and not path.exists():
        return registry.published()[text], text
    if path.is_dir():
        return read(path / "genotype.json"), path.resolve().name
    if not path.exists():
        raise GenotypeError(
            f"No genotype {text!r}: give a genotype.json, a run folder, or one of "
            f"{', '.join(registry.published())}."
        )
    stem = path.resolve().parent.name if path.name == "genotype.json" else path.stem
    return read(path), stem or "genotype"


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
