"""`jaxnas report`: writes the report of a run folder again."""

import dataclasses
from collections.abc import Sequence

import tyro.conf

from jaxnas.cli import parse

TEXT = """Writes report.html and the pictures of a run folder again, from what is there.

example: jaxnas report runs/digits-darts-seed0
"""


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    run: tyro.conf.Positional[str]
    """A folder that jaxnas search or jaxnas retrain wrote."""


def run(words: Sequence[str]) -> int:
    """Reads the words and writes the report. Raises ValueError and OSError."""
    asked = parse.parsed(ReportSettings, words, "jaxnas report", TEXT)
    if asked is not None:
        from jaxnas.report import run_page

        print(run_page.write(asked.run))
    return 0
