"""Tables of latencies in text, CSV or YAML: their rows, their form by its columns, their values.

`network_table` interprets tables of whole networks, `layer_table` those of layers.
"""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxnas.run import files

MAX_CHARACTERS = 100_000_000  # characters
UNITS = {"latency_ms": 1.0, "latency_us": 1e-3, "latency_ns": 1e-6, "latency_s": 1e3}
SINGLE_PATH = ("layer", "choice", "latency_ms")
PROXYLESS = ("table", "key", "mean_ms", "std_ms", "count")
FBNET_STYLE = ("layer", "op", "latency_ms")
LAYER_TABLES = {"single-path": SINGLE_PATH, "proxyless": PROXYLESS, "fbnet": FBNET_STYLE}
NETWORKS = "networks"
COLUMNS = "columns"  # of numbers, that describe each row
LAYER_KEYS = {"layer", "choice"}, {"layer", "op"}, {"table", "key"}  # of a table of layers
DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(e[-+]?\d+)?", re.IGNORECASE)


# A campaign is a folder, whatever its name ends with.
TEXTS, ARRAYS = (".csv", ".tsv", ".yaml", ".yml"), ".npz"


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
        """NETWORKS, COLUMNS, or one of LAYER_TABLES; None: of no known form."""
        if set(self.names) in map(set, LAYER_TABLES.values()):
            return next(
                form for form, names in LAYER_TABLES.items() if set(names) == set(self.names)
            )
        if "network" in self.names:
            return NETWORKS
        has_times = any(name in UNITS for name in self.names)
        return COLUMNS if has_times and not has_layers(self) else None


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


def has_layers(table: LatencyTable) -> bool:
    """Whether a table has the columns by which layers are told from each other."""
    return any(keys <= set(table.names) for keys in LAYER_KEYS)


def is_table(path: Path) -> bool:
    """Whether a path is a table's by its ending, in capitals or not, and no folder."""
    return path.suffix.lower() in (*TEXTS, ARRAYS) and not path.is_dir()


def is_npz(path: Path) -> bool:
    """Whether a table is one of arrays, for `benchmarks`."""
    return path.suffix.lower() == ARRAYS


def read(path: Path) -> LatencyTable:
    """The rows of a file of CSV, or of YAML as ProxylessNAS and OFA publish it.

    Columns are separated by commas, tabs, or semicolons, in which case numbers may have a decimal
    comma. Raises TableError for a file that holds no rows.
    """
    text = _text(Path(path))
    if Path(path).suffix.lower() in (".yaml", ".yml"):
        return _of_yaml(Path(path), text)
    header = text.partition("\n")[0]
    others = [sign for sign in ";\t" if sign in header and "," not in header]
    delimiter = others[0] if others else ","
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
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
    point = lambda value: value.replace(",", ".") if DECIMAL_COMMA.fullmatch(value) else value
    clean = point if delimiter == ";" else lambda value: value
    entries = lambda row: {name.strip(): clean(value.strip()) for name, value in row.items()}
    return LatencyTable(Path(path), [Row(line, entries(row)) for line, row in rows], names)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = files.decode(file.read(MAX_CHARACTERS + 1))
    except OSError as error:
        raise TableError(f"Cannot read {path}: {error.strerror}. Give a CSV file.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is no text: give a CSV file in UTF-8.") from error
    if len(text) > MAX_CHARACTERS:
        raise TableError(f"{path} has more than {MAX_CHARACTERS} characters: give a smaller table.")
    return text


def _of_yaml(path: Path, text: str) -> LatencyTable:
    """YAML of `key: {mean: milliseconds, std or var, count}` as rows of the proxyless form."""
    import yaml  # few tables are of it

    try:
        table = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        cause = " ".join(str(error).split())[:80]
        raise TableError(f"{path} is no YAML ({cause}).") from error
    is_entry = lambda entry: isinstance(entry, Mapping) and "mean" in entry
    if not isinstance(table, Mapping) or not table or not all(map(is_entry, table.values())):
        raise TableError(
            f"{path} is no table of layers: in YAML each key has a `mean` in milliseconds, and "
            f"`std` or `var`, and `count`; or write CSV with the columns {', '.join(PROXYLESS)}."
        )
    line_of = {line.partition(": ")[0].strip().strip("\"'").removesuffix(":"): number
               for number, line in reversed(list(enumerate(text.splitlines(), 1)))}  # fmt: skip
    rows = []
    for key, entry in table.items():
        std = entry.get("std", entry.get("var", 0) ** 0.5 if "var" in entry else 0)
        values = (path.stem, key, entry["mean"], std, entry.get("count", 1))
        named = dict(zip(PROXYLESS, map(str, values), strict=True))
        rows.append(Row(line_of.get(str(key), 1), named))
    return LatencyTable(path, rows, PROXYLESS)


def form(table: LatencyTable) -> str:
    """NETWORKS, COLUMNS, or one of LAYER_TABLES. Raises TableError for another table."""
    if table.form is None:
        known_forms = "; ".join(
            f"{form}: {', '.join(columns)}" for form, columns in LAYER_TABLES.items()
        )
        raise TableError(
            f"{table.path} has the columns {', '.join(table.names)}; known tables are {known_forms}"
            f"; and whole networks: one of {', '.join(UNITS)}, and network, or columns of numbers."
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
