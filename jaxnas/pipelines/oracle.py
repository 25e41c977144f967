"""`jaxnas oracle`: the scores of a cell in a tabular benchmark."""

import json
from typing import Any

from jaxnas.evaluators import tabular
from jaxnas.pipelines import genotypes
from jaxnas.pipelines.settings.oracle import BuildSettings, QuerySettings


def query(settings: QuerySettings) -> None:
    """Prints the entry of a cell. Raises ValueError and OSError."""
    benchmark = tabular.default()
    table = benchmark.load(benchmark.locate(settings.table))
    cell_entry = _entry(table, settings.cell)
    as_json, lines = benchmark.as_json(cell_entry), benchmark.lines(cell_entry)
    print(json.dumps(as_json, indent=2) if settings.json else "\n".join(lines))


def build(settings: BuildSettings) -> None:
    """Writes the table of an export. Raises ValueError and OSError."""
    benchmark = tabular.default()
    table = benchmark.build(settings.export, settings.out)
    best = ", ".join(
        f"{table.test[i, -1].max():.2f} % on {name}" for i, name in enumerate(benchmark.SETS)
    )
    print(f"{settings.out}  {len(table.codes):,} cells; the best reach {best}")


def _entry(table: Any, text: str) -> Any:
    """The entry of the cell that the command line names."""
    number = text.removeprefix("-")
    if number.isascii() and number.isdecimal() and len(number) < 20:
        return tabular.default().query(table, int(text))
    return tabular.default().query(table, text if "~" in text else genotypes.named(text)[0])
