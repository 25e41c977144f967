"""CSV tables of latencies: their rows, their form by its columns, their values.

`network_table` interprets tables of whole networks, `layer_table` those of layers.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

MAX_CHARACTERS = 100_000_000  # characters
UNITS = {"latency_ms": 1.0, "latency_us": 1e-3, "latency_ns": 1e-6, "latency_s": 1e3}
SINGLE_PATH = ("layer", "choice", "latency_ms")
PROXYLESS = ("table", "key", "mean_ms", "std_ms", "count")
FBNET_STYLE = ("layer", "op", "latency_ms")
LAYER_TABLES = {"single-path": SINGLE_PATH, "proxyless": PROXYLESS, "fbnet": FBNET_STYLE}
NETWORKS = "networks"


class TableError(ValueError):
    """A table that cannot be used: the message is one line."""


class Row(NamedTuple):
    line: int  # of the file
    entries: Mapping[str, str]


class LatencyTable(NamedTuple):
    path: Path
    rows: Sequence[Row]
    names: Sequence[str]  # of the columns

    @property
    def form(self) -> str | None:
        """NETWORKS, or one of LAYER_TABLES; None: of no known form."""
        if set(self.names) in map(set, LAYER_TABLES.values()):
            return next(
                form for form, names in LAYER_TABLES.items() if set(names) == set(self.names)
            )
        return NETWORKS if "network" in self.names else None


class DominancePair(NamedTuple):
    """Two candidates or networks of which the larger dominates the smaller one."""

    place: str
    smaller: str
    larger: str
    smaller_ms: float
    larger_ms: float

    @property
    def violates(self) -> bool:
        """Whether the smaller one is slower."""
        return self.smaller_ms > self.larger_ms


def read(path: Path) -> LatencyTable:
    """The rows of a CSV file. Raises TableError for a file that holds none."""
    try:
        # utf-8-sig drops the byte-order mark that spreadsheets write.
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            text = file.read(MAX_CHARACTERS + 1)
    except OSError as error:
        raise TableError(f"Cannot read {path}: {error.strerror}. Give a CSV file.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is no text: give a CSV file in UTF-8.") from error
    if len(text) > MAX_CHARACTERS:
        raise TableError(f"{path} has more than {MAX_CHARACTERS} characters: give a smaller table.")
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise TableError(f"{path} is no CSV ({error}).") from error
    if not rows:
        raise TableError(f"{path} has no rows: there is nothing to read.")
    names = [name.strip() for name in reader.fieldnames or () if name]
    for line, row in rows:
        if None in row or None in row.values():
            raise TableError(
                f"{path}, line {line}: the row has more or fewer entries than the header."
            )
    clean = lambda row: {name.strip(): value.strip() for name, value in row.items()}
    return LatencyTable(Path(path), [Row(line, clean(row)) for line, row in rows], names)


def form(table: LatencyTable) -> str:
    """NETWORKS, or one of LAYER_TABLES. Raises TableError for a table of no known form."""
    if table.form is None:
        known_forms = "; ".join(
            f"{form}: {', '.join(columns)}" for form, columns in LAYER_TABLES.items()
        )
        raise TableError(
            f"{table.path} has the columns {', '.join(table.names)}; known tables are {known_forms}"
            f"; and whole networks: network and one of {', '.join(UNITS)}."
        )
    return table.form


def value(table: LatencyTable, row: Row, column: str, minimum: float | None = None) -> float:
    """The number in a column: above 0, or at least `minimum`. Raises TableError for others."""
    location = f"{table.path}, line {row.line}"
    cure = "measure it again or leave the row out"
    if not row.entries[column]:
        raise TableError(f"{location}: {column} is empty: {cure}.")
    try:
        number = float(row.entries[column])
    except ValueError:
        raise TableError(
            f"{location}: {row.entries[column]!r} in {column} is no number: write it "
            "with a point and without a unit, or leave the row out."
        ) from None
    if not math.isfinite(number) or (number <= 0 if minimum is None else number < minimum):
        raise TableError(
            f"{location}: {column} is {number:g} in the row "
            f"{', '.join(row.entries.values())}: a value is positive; {cure}."
        )
    return number
