"""The command line: words to settings, settings to a command."""

import contextlib
import io
import re
from collections.abc import Sequence
from typing import Any

import tyro

from jaxnas.cli.errors import UsageError
from jaxnas.pipelines.settings import RetrainSettings, SearchSettings

USAGE = """jaxnas finds neural networks by gradient descent, on JAX.

usage: jaxnas COMMAND [options]

  search              find a cell, retrain it beside random ones, write a report
  retrain GENOTYPE    train the network of a genotype
  narrow GENOTYPE     take channels from a mobile network until it fits a budget
  report RUN          write the report of a run folder again
  draw GENOTYPE       draw the cells of a genotype as SVG and PNG
  check FILE          check a space of your own
  methods             list the methods of search, with their settings
  diagnose RUN        curvature, sharpness and gaps of a search
  oracle COMMAND      look up what a NAS-Bench-201 cell really scores
  latency COMMAND     measure networks on this device, fit a model, predict
  --version           print the version

`jaxnas COMMAND --help` lists the options. --debug shows the traceback of an error.

examples:
  jaxnas search                                  built-in digits, a minute or two
  jaxnas search --data cifar10 --data-dir ~/tfds --limit 5000
  jaxnas retrain runs/digits-darts-seed0 --epochs 30
  jaxnas draw DARTS_V2 --out pictures
"""

SEARCH = """Finds a cell, retrains it beside random cells, and writes a report.

examples:
  jaxnas search
  jaxnas search --space nasbench201 --epochs 20
  jaxnas search --data my_images.npz --method darts --order exact --features 8
  jaxnas search --method pc-darts --set partial=2 warm_up=4
  jaxnas search --space darts-no-none --select perturbation --set interval=1
  jaxnas search --data cifar10 --data-dir ~/tfds --limit 5000 --name small
  jaxnas search --data cifar10 --preset paper --retrain.preset paper
"""

RETRAIN = """Trains the network of a genotype on all training images, and tests it.

examples:
  jaxnas retrain runs/digits-darts-seed0
  jaxnas retrain genotype.json --data my_images.npz --epochs 50 --features 16
  jaxnas retrain DARTS_V2 --data cifar10 --preset paper
"""


def run(words: Sequence[str]) -> int:
    """Runs the command that the words say; gives its exit code. Raises UsageError."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    command, *rest = words
    if command == "--version":
        from jaxnas.cli import version

        print(f"jaxnas {version.version()}")
        return 0
    commands = {
        "search": _search,
        "retrain": _retrain,
        "narrow": _narrow,
        "report": _report,
        "draw": _draw,
        "check": _check,
        "methods": _methods,
        "diagnose": _diagnose,
        "oracle": _oracle,
        "latency": _latency,
    }
    if command not in commands:
        raise UsageError(f"No command {command!r}: there are {', '.join(commands)}.")
    return commands[command](rest)


# Commands are imported when they are asked for, since jax takes seconds to import.
def _search(words: Sequence[str]) -> int:
    settings = parsed(SearchSettings, words, "jaxnas search", SEARCH)
    if settings is not None:
        from jaxnas.pipelines import search

        search.main(settings)
    return 0


def _retrain(words: Sequence[str]) -> int:
    settings = parsed(RetrainSettings, words, "jaxnas retrain", RETRAIN)
    if settings is not None:
        from jaxnas.pipelines import retrain

        retrain.main(settings)
    return 0


def _narrow(words: Sequence[str]) -> int:
    from jaxnas.pipelines import narrow

    return narrow.run_words(words)


def _report(words: Sequence[str]) -> int:
    from jaxnas.cli import report

    return report.run(words)


def _draw(words: Sequence[str]) -> int:
    from jaxnas.cli import draw

    return draw.run(words)


def _check(words: Sequence[str]) -> int:
    from jaxnas.cli import check

    return check.run(words)


def _methods(words: Sequence[str]) -> int:
    from jaxnas.cli import methods

    return methods.run(words)


def _diagnose(words: Sequence[str]) -> int:
    from jaxnas.pipelines import diagnose

    return diagnose.run(words)


def _oracle(words: Sequence[str]) -> int:
    from jaxnas.pipelines import oracle

    return oracle.run(words)


def _latency(words: Sequence[str]) -> int:
    from jaxnas.pipelines import latency

    return latency.run(words)


def parsed(kind: type, words: Sequence[str], program: str, description: str) -> Any | None:
    """Settings of a kind, or None where the words asked for help, which is printed.

    Raises UsageError, in one line, for words that say no settings.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind, args=list(words), prog=program, description=description,
                config=(tyro.conf.HelptextFromCommentsOff, tyro.conf.DisallowNone),
            )  # fmt: skip
    except SystemExit as stopped:
        if not stopped.code:
            return None
        raise UsageError(f"{one_line(complaint.getvalue())} See {program} --help.") from None


def one_line(box: str) -> str:
    """tyro's box of an error as a sentence: what is wrong, and the flag that may be meant."""
    sections: list[list[str]] = [[]]
    for row in (line.strip("│ \t") for line in box.splitlines()):
        # A rule, or the frame; the title comes before the first one.
        if re.match(r"[╭╰]|[─-]{3,}$", row):
            sections.append([])
        elif row:
            sections[-1].append(row)
    text = " ".join(sections[1]) if len(sections) > 1 else " ".join(box.split())
    wrong = re.search(r"Error parsing (--\S+): .*?(?:from \[|: )'([^']*)'", text)
    if wrong:
        text = f"{wrong[1]} cannot be {wrong[2]!r}: give {_kind(text)}"
    choice = re.match(
        r"invalid choice ('.*?') for argument '(.*?)'\. Expected one of \((.*)\)", text
    )
    if choice:
        names = sorted(set(re.findall(r"'(.*?)'", choice[3])) - {"None"})
        text = f"{choice[2]} cannot be {choice[1]}: give {' or '.join(names)}"
    for hints in sections[2:]:
        flags = [row.split()[0].rstrip(",") for row in hints if row.startswith("--")]
        if hints[:1] == ["Perhaps you meant:"] and flags:
            text += f". Perhaps you meant {flags[0]}"
    return text.rstrip(".") + "."


def _kind(text: str) -> str:
    if "tuple" in text:
        return "whole numbers with spaces between"
    if "float" in text:
        return "a number"
    return "a whole number" if "int" in text else "another value"
