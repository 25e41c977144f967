"""Draws the cells of a genotype: an SVG and a PNG file each.

python tools/draw_genotype.py runs/digits/genotype.json --out pictures
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxnas.report import draw_cell, run_reader


def main(words: Sequence[str] | None = None) -> int:
    """Draws what the command line asks for; 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(
        description="Draws the cells of a genotype: an SVG and a PNG file each.",
        epilog="example: python tools/draw_genotype.py runs/digits/genotype.json --out pictures",
    )
    parser.add_argument("genotype", type=Path, help="a genotype.json")
    where = "where the pictures go (default: here); made where missing"
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help=where)
    arguments = parser.parse_args(words)
    try:
        genotype = run_reader.read_genotype(arguments.genotype)
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, stem in draw_cell.stems(genotype.cells).items():
            draw_cell.save(
                genotype.cells[name], arguments.out, stem, f"{draw_cell.label(name)} cell"
            )
            print(arguments.out / f"{stem}.svg", arguments.out / f"{stem}.png")
    except (ValueError, OSError) as error:
        print(f"draw_genotype: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
