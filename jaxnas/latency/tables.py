"""Tables from elsewhere: networks timed on a phone, and look-up tables of layers."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.latency import candidates, layout
from jaxnas.types import Space

LIMIT = 100_000_000  # characters
UNITS = {"latency_ms": 1.0, "latency_us": 1e-3, "latency_ns": 1e-6, "latency_s": 1e3}
SINGLE_PATH = ("layer", "choice", "latency_ms")
SINGLE_PATH_NAMES = ("k3_e3", "k3_e6", "k5_e3", "k5_e6")  # of the choices 0 to 3
PROXYLESS = ("table", "key", "mean_ms", "std_ms", "count")
FBNET_STYLE = ("layer", "op", "latency_ms")


class TableError(ValueError):
    """A table that cannot be used: the message is one line."""


class Measured(NamedTuple):
    """Networks of a space and their times."""

    device: str
    networks: np.ndarray  # i64[N, positions]
    latency_ms: np.ndarray  # f64[N]


class LookUp(NamedTuple):
    """Milliseconds of single layers: (where, what) -> ms, in the order of the file."""

    form: str  # "single-path", "proxyless" or "fbnet"
    entries: Mapping[tuple[str, str], float]


class Violation(NamedTuple):
    """At one place, what does less is slower."""

    where: str
    smaller: str
    larger: str
    smaller_ms: float
    larger_ms: float


def measured(
    path: Path, space: Space, *, device: str | None = None, column: str | None = None
) -> Measured:
    """Networks and times of a CSV file with a row a network.

    Columns: `network`, the names of its candidates position after position, or their indices,
    separated by spaces; one of latency_ms, latency_us, latency_ns, latency_s; `device` if several
    devices share the file, which `device` chooses among. `column`: another quantity than the
    times, as it stands in the column of that name. Raises TableError for other columns, a
    network of another space, another device, and times that are no positive numbers. Rows of one
    network that disagree are refused by the fit.
    """
    rows, names = _rows(path)
    units = [name for name in names if name in UNITS]
    if column is not None and column not in names:
        raise TableError(f"{path} has the columns {', '.join(names)}, and no {column!r}.")
    if "network" not in names or (column is None and len(units) != 1):
        raise TableError(
            f"{path} has the columns {', '.join(names)}: it needs `network` and one of "
            f"{', '.join(UNITS)}."
        )
    found = sorted({row["device"] for row in rows}) if "device" in names else []
    if device is not None and found and device not in found:
        raise TableError(f"{path} is of {', '.join(found)}, not of {device!r}.")
    if device is None and len(found) > 1:
        raise TableError(f"{path} is of several devices ({', '.join(found)}): choose one.")
    rows = [row for row in rows if not found or device is None or row["device"] == device]
    networks = np.array([_network(path, row, space) for row in rows])
    read = units[0] if column is None else column
    times = np.array([_time(path, row, read) for row in rows]) * UNITS.get(read, 1.0)
    return Measured(device or (found[0] if found else ""), networks, times)


def look_up(path: Path) -> LookUp:
    """A look-up table, its form told by its columns. Raises TableError.

    Single-Path: layer, choice, latency_ms. ProxylessNAS: table, key, mean_ms, std_ms, count.
    FBNet-style: layer, op, latency_ms. Negative entries, which smoothing leaves in some published
    tables, are refused by name; a place and choice that stand twice as well.
    """
    rows, names = _rows(path)
    forms = {"single-path": SINGLE_PATH, "proxyless": PROXYLESS, "fbnet": FBNET_STYLE}
    form = next((form for form, columns in forms.items() if set(columns) == set(names)), None)
    if form is None:
        known = "; ".join(f"{form}: {', '.join(columns)}" for form, columns in forms.items())
        raise TableError(f"{path} has the columns {', '.join(names)}; known tables are {known}.")
    entries: dict[tuple[str, str], float] = {}
    for row in rows:
        where, what, column = _entry(path, form, row)
        if (where, what) in entries:
            raise TableError(f"{path}: {what} at {where} stands twice: keep one.")
        entries[where, what] = _time(path, row, column, least=0.0)
    return LookUp(form, entries)


def violations(table: LookUp) -> list[Violation]:
    """Where a candidate takes longer than one that does all it does and more.

    A wider kernel or expansion at the same place cannot be faster: such entries were measured
    badly, most often without a warm-up.
    """
    places: dict[str, list[str]] = {}
    for where, what in table.entries:
        places.setdefault(where, []).append(what)
    found = []
    for where, names in places.items():
        for i, j in np.argwhere(candidates.grows(names)):
            low, high = (table.entries[where, names[k]] for k in (i, j))
            if low > high:
                found.append(Violation(where, names[i], names[j], low, high))
    return found


def costs(table: LookUp, space: Space) -> np.ndarray:
    """f64[positions, candidates] of a chain whose layers are the places of the table in order.

    Candidates missing at their place are skips and cost nothing. Raises TableError where the
    table has fewer places than the space has layers, or lacks another candidate.
    """
    places = list(dict.fromkeys(where for where, _ in table.entries))
    positions = layout.positions(space)
    found = np.zeros((len(positions), max(layout.sizes(space))))
    for p, position in enumerate(positions):
        if position.edge[0] >= len(places):
            raise TableError(
                f"The table has {len(places)} layers, the space needs layer {position.edge[0]}: "
                "it is of another space."
            )
        where = places[position.edge[0]]
        for o, name in enumerate(position.candidates):
            if candidates.kind(name) == candidates.PASS:
                found[p, o] = table.entries.get((where, name), 0.0)
            elif (where, name) in table.entries:
                found[p, o] = table.entries[where, name]
            else:
                raise TableError(f"The table has no {name!r} at {where}: it is of another space.")
    return found


def _rows(path: Path) -> tuple[list[dict[str, str]], Sequence[str]]:
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            text = file.read(LIMIT + 1)
    except OSError as error:
        raise TableError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is no text: give a CSV file in UTF-8.") from error
    if len(text) > LIMIT:
        raise TableError(f"{path} has more than {LIMIT} characters: give a smaller table.")
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise TableError(f"{path} is no CSV ({error}).") from error
    if not rows:
        raise TableError(f"{path} has no rows: there is nothing to read.")
    names = [name.strip() for name in reader.fieldnames or () if name]
    if any(None in row or None in row.values() for row in rows):
        raise TableError(f"{path}: a row has more or fewer entries than the header.")
    return [{(k or "").strip(): v.strip() for k, v in row.items()} for row in rows], names


def _network(path: Path, row: Mapping[str, str], space: Space) -> list[int]:
    parts, positions = row["network"].split(), layout.positions(space)
    if len(parts) != len(positions):
        raise TableError(
            f"{path}: {row['network']!r} has {len(parts)} positions, the space has "
            f"{len(positions)}: it is of another space."
        )
    codes = []
    for part, position in zip(parts, positions, strict=True):
        if part in position.candidates:
            codes.append(position.candidates.index(part))
        elif part.isdecimal() and int(part) < len(position.candidates):
            codes.append(int(part))
        else:
            raise TableError(
                f"{path}: the space has no candidate {part!r} there, only "
                f"{', '.join(position.candidates)}."
            )
    return codes


def _time(path: Path, row: Mapping[str, str], column: str, least: float | None = None) -> float:
    try:
        value = float(row[column])
    except ValueError:
        raise TableError(f"{path}: {row[column]!r} in {column} is no number.") from None
    if not math.isfinite(value) or (value <= 0 if least is None else value < least):
        raise TableError(
            f"{path}: {column} is {value:g} in the row {', '.join(row.values())}: a value "
            "is positive; measure it again or leave the row out."
        )
    return value


def _entry(path: Path, form: str, row: Mapping[str, str]) -> tuple[str, str, str]:
    """(where, what, the column of the time)."""
    if form == "fbnet":
        return f"layer {row['layer']}", row["op"], "latency_ms"
    if form == "single-path":
        if row["choice"] not in ("0", "1", "2", "3"):
            raise TableError(f"{path}: choice {row['choice']!r} is none of 0 to 3.")
        return f"layer {row['layer']}", SINGLE_PATH_NAMES[int(row["choice"])], "latency_ms"
    key = re.fullmatch(r"(.+?)-expand:(\d+)-kernel:(\d+)(-.*)?", row["key"])
    if key is None:
        return row["key"], "whole", "mean_ms"
    return f"{key[1]}{key[4] or ''}", f"k{key[3]}_e{key[2]}", "mean_ms"
