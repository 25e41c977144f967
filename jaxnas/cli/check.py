"""`jaxnas check`: whether a space of your own keeps what a space must keep."""

import dataclasses
from collections.abc import Sequence

import tyro.conf

from jaxnas.cli import parse

TEXT = """Checks a space of your own, and explains what fails.

example: jaxnas check my_space.py
"""


@dataclasses.dataclass(frozen=True)
class CheckSettings:
    file: tyro.conf.Positional[str]
    """A Python file that makes a space; docs/extending.md says how."""


def run(words: Sequence[str]) -> int:
    """Reads the words and checks; gives 0 where all holds."""
    asked = parse.parsed(CheckSettings, words, "jaxnas check", TEXT)
    if asked is None:
        return 0
    from jaxnas.run import process
    from jaxnas.spaces import check

    with process.unoptimised():
        return check.run(asked.file)
