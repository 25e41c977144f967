"""`jaxnas oracle`: what a cell of NAS-Bench-201 really scores."""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tyro.conf

from jaxnas.cli import parse
from jaxnas.cli.errors import UsageError

if TYPE_CHECKING:
    from jaxnas.evaluators.nasbench201 import BenchmarkEntry, TabularBenchmark

USAGE = """What a cell of NAS-Bench-201 really scores.

  query CELL          true accuracies, rank and regret of a cell
  build EXPORT OUT    make the table from an export of the benchmark's API

`jaxnas oracle COMMAND --help` lists the options; docs/oracle.md says how to get the table.

examples:
  jaxnas oracle query 6111 --table nb201.npz
  jaxnas oracle query runs/digits-darts-seed0 --json
  jaxnas oracle build export.csv nb201.npz
"""

QUERY = """Tells the true accuracies, rank, regret and cost of a cell.

examples:
  jaxnas oracle query 6111 --table nb201.npz
  jaxnas oracle query runs/digits-darts-seed0/genotype.json --json
  jaxnas oracle query '|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|'
"""

BUILD = """Makes the table of NAS-Bench-201 from an export of its API.

example: jaxnas oracle build export.csv nb201.npz
"""


@dataclasses.dataclass(frozen=True)
class QuerySettings:
    cell: tyro.conf.Positional[str]
    """An index, a text such as '|none~0|+...', a genotype.json, or a run folder."""
    table: str | None = None
    """The table's file; left out: the one that JAXNAS_NASBENCH201 names."""
    json: bool = False
    """Print JSON."""


@dataclasses.dataclass(frozen=True)
class BuildSettings:
    export: tyro.conf.Positional[str]
    """A .csv or .jsonl that was written as docs/oracle.md says."""
    out: tyro.conf.Positional[str]
    """The table's file, a .npz."""


def run(words: Sequence[str]) -> int:
    """Reads the words and answers. Raises UsageError, ValueError and OSError."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    command, *rest = words
    commands = {"query": _query, "build": _build}
    if command not in commands:
        raise UsageError(f"No command 'oracle {command}': there are {', '.join(commands)}.")
    return commands[command](rest)


def _query(words: Sequence[str]) -> int:
    asked = parse.parsed(QuerySettings, words, "jaxnas oracle query", QUERY)
    if asked is not None:
        from jaxnas.evaluators import nasbench201 as benchmark

        table = benchmark.load(benchmark.locate(asked.table))
        entry = _entry(table, asked.cell)
        print(json.dumps(as_json(entry), indent=2) if asked.json else "\n".join(lines(entry)))
    return 0


def _build(words: Sequence[str]) -> int:
    asked = parse.parsed(BuildSettings, words, "jaxnas oracle build", BUILD)
    if asked is not None:
        from jaxnas.evaluators import nasbench201 as benchmark

        table = benchmark.build(asked.export, asked.out)
        best = ", ".join(
            f"{table.test[i, -1].max():.2f} % on {name}" for i, name in enumerate(benchmark.SETS)
        )
        print(f"{asked.out}  {len(table.codes):,} cells; the best reach {best}")
    return 0


def _entry(table: "TabularBenchmark", text: str) -> "BenchmarkEntry":
    """The entry of a cell as the command is given it."""
    from jaxnas.evaluators import nasbench201 as benchmark
    from jaxnas.pipelines import genotypes

    number = text.removeprefix("-")
    if number.isascii() and number.isdecimal() and len(number) < 20:
        return benchmark.query(table, int(text))
    return benchmark.query(table, text if "~" in text else genotypes.named(text)[0])


def as_json(entry: "BenchmarkEntry") -> dict:
    """An entry as JSON has it: the names of its fields."""
    sets = {name: scores._asdict() for name, scores in entry.sets.items()}
    return entry._asdict() | {"sets": sets}


def lines(entry: "BenchmarkEntry") -> list[str]:
    """An entry in words, a line a figure and a column a data set."""
    from jaxnas.evaluators.nasbench201 import isomorphism

    scores = entry.sets.values()
    row = lambda label, texts: f"{label:<24}" + "".join(f"{text:>16}" for text in texts)
    figure = lambda label, field: row(label, (f"{getattr(s, field):.2f}" for s in scores))
    whole = lambda label, field: row(label, (f"{getattr(s, field):,}" for s in scores))
    same = "" if entry.same_as == entry.index else f", computes what cell {entry.same_as} computes"
    return [
        f"cell {entry.index} of NAS-Bench-201{same}",
        entry.arch,
        row("", entry.sets),
        figure("test %, 200 epochs", "test_200"),
        figure("  points below the best", "regret"),
        whole(f"  rank of {isomorphism.COUNT:,}", "rank"),
        figure("valid %, 200 epochs", "valid_200"),
        figure("test %, 12 epochs", "test_12"),
        figure("valid %, 12 epochs", "valid_12"),
        whole("parameters", "parameters"),
        whole("MACs of an image", "macs"),
        f"accuracies of 200 epochs are means of {entry.seeds} training{'s' * (entry.seeds > 1)}",
    ]
