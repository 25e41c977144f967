"""Runs the commands and examples of Markdown pages, top to bottom.

python tools/run_readme.py README.md docs/extending.md

Every fenced block of bash or Python is run in the current folder, unless the line before it is a
comment `<!-- elsewhere: why -->`. Python blocks with no command between them are one program, so
that an example can go on from the one before. Commands find `python` and `jaxnas` in the folder
given by `--bin`, which may be made by an earlier command of the page. `--replace` shortens what
takes long. Stops at the first failure.
"""

import argparse
import itertools
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

LANGUAGES = ("bash", "python")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"<!-- elsewhere: .+ -->\n$")


class Block(NamedTuple):
    language: str
    text: str
    line: int  # of its first line of text
    runs: bool


def blocks(page: str) -> Iterator[Block]:
    """The bash and Python blocks of a page, in order."""
    for found in FENCE.finditer(page):
        if found[1] in LANGUAGES:
            runs = ELSEWHERE.search(page, 0, found.start()) is None
            yield Block(found[1], found[2], page.count("\n", 0, found.start()) + 2, runs)


def programs(page: str) -> Iterator[Block]:
    """What to run of a page, in order: neighbouring Python blocks together."""
    waiting = (block for block in blocks(page) if block.runs)
    for language, group in itertools.groupby(waiting, key=lambda block: block.language):
        group = list(group)
        if language == "python":
            text = "\n".join(block.text for block in group)
            group = [group[0]._replace(text=text)]
        yield from group


def run(block: Block, folder: pathlib.Path) -> int:
    """Runs one block with the programs in `folder` first; gives its exit code."""
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    command = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "python": [str(folder / "python"), "-c"],
    }[block.language]
    return subprocess.run([*command, block.text], env=os.environ | {"PATH": path}).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    parser.add_argument(
        "--blocks", metavar="FROM:TO", default=":", help="of each page, counted from 0"
    )
    parser.add_argument(
        "--replace", metavar=("OLD", "NEW"), nargs=2, action="append", default=[],
        help="a text of the commands by another, to run a shorter form of what is shown",
    )  # fmt: skip
    parser.add_argument("--bin", type=pathlib.Path, default=pathlib.Path(sys.executable).parent)
    asked = parser.parse_args()
    folder = pathlib.Path(os.path.abspath(asked.bin))
    first, _, last = asked.blocks.partition(":")
    some = slice(int(first or 0), int(last) if last else None)
    pages = {page: list(programs(page.read_text()))[some] for page in asked.pages}
    every = "".join(block.text for found in pages.values() for block in found)
    without = [old for old, _ in asked.replace if old not in every]
    if without:
        parser.error(f"--replace: no command has {without[0]!r}.")
    for page, found in pages.items():
        for block in found:
            for old, new in asked.replace:
                block = block._replace(text=block.text.replace(old, new))
            print(f"-- {page}:{block.line} ({block.language})\n{block.text}", end="", flush=True)
            began = time.monotonic()
            code = run(block, folder)
            print(f"-- exit code {code}, {time.monotonic() - began:.1f} s", flush=True)
            if code:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
