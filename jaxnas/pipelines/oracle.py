"""`jaxnas oracle`: what a cell of a tabular benchmark really scores."""

import json

from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators.nasbench201 import BenchmarkEntry, TabularBenchmark, isomorphism
from jaxnas.pipelines import genotypes
from jaxnas.pipelines.settings.oracle import BuildSettings, QuerySettings


def query(settings: QuerySettings) -> None:
    """Prints the entry of a cell. Raises ValueError and OSError."""
    table = benchmark.load(benchmark.locate(settings.table))
    entry = _entry(table, settings.cell)
    print(json.dumps(as_json(entry), indent=2) if settings.json else "\n".join(lines(entry)))


def build(settings: BuildSettings) -> None:
    """Writes the table of an export. Raises ValueError and OSError."""
    table = benchmark.build(settings.export, settings.out)
    best = ", ".join(
        f"{table.test[i, -1].max():.2f} % on {name}" for i, name in enumerate(benchmark.SETS)
    )
    print(f"{settings.out}  {len(table.codes):,} cells; the best reach {best}")


def _entry(table: TabularBenchmark, text: str) -> BenchmarkEntry:
    """The entry of a cell as the command is given it."""
    number = text.removeprefix("-")
    if number.isascii() and number.isdecimal() and len(number) < 20:
        return benchmark.query(table, int(text))
    return benchmark.query(table, text if "~" in text else genotypes.named(text)[0])


def as_json(entry: BenchmarkEntry) -> dict:
    """An entry as JSON has it: the names of its fields."""
    sets = {name: scores._asdict() for name, scores in entry.sets.items()}
    return entry._asdict() | {"sets": sets}


def lines(entry: BenchmarkEntry) -> list[str]:
    """An entry in words, a line a figure and a column a data set."""
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
