"""`jaxnas draw`: draws the cells of a genotype."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tyro.conf

from jaxnas.cli import parse

TEXT = """Draws the cells of a genotype, as SVG and PNG.

examples:
  jaxnas draw runs/digits-darts-seed0
  jaxnas draw DARTS_V2 --out pictures
"""


@dataclasses.dataclass(frozen=True)
class DrawSettings:
    genotype: tyro.conf.Positional[str]
    """A genotype.json, a run folder, or a published name such as DARTS_V2."""
    out: str = "."
    """The folder for the pictures; made where it is missing."""


def run(words: Sequence[str]) -> int:
    """Reads the words and draws. Raises GenotypeError, ValueError and OSError."""
    asked = parse.parsed(DrawSettings, words, "jaxnas draw", TEXT)
    if asked is not None:
        from jaxnas.pipelines import genotypes

        genotype, _ = genotypes.named(asked.genotype)
        out = Path(asked.out).expanduser()
        out.mkdir(parents=True, exist_ok=True)
        for path in genotypes.pictures(genotype, out):
            print(path, path.with_suffix(".png"))
    return 0
