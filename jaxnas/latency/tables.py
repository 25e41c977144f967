"""Tables from elsewhere: networks timed on a phone, and look-up tables of layers."""

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas import genotype
from jaxnas.genotype import Genotype, GenotypeError
from jaxnas.latency import accept, candidates, layout, programs
from jaxnas.latency.model import LATENCY
from jaxnas.single_path_latency import OUTSIDE
from jaxnas.types import Space

LIMIT = 100_000_000  # characters
UNITS = {"latency_ms": 1.0, "latency_us": 1e-3, "latency_ns": 1e-6, "latency_s": 1e3}
SINGLE_PATH = ("layer", "choice", "latency_ms")
SINGLE_PATH_NAMES = ("k3_e3", "k3_e6", "k5_e3", "k5_e6")  # of the choices 0 to 3
PROXYLESS = ("table", "key", "mean_ms", "std_ms", "count")
FBNET_STYLE = ("layer", "op", "latency_ms")
LOOK_UPS = {"single-path": SINGLE_PATH, "proxyless": PROXYLESS, "fbnet": FBNET_STYLE}
NETWORKS = "networks"
PARTS = tuple(kind for kind in programs.KINDS if kind != programs.NETWORK)  # no whole networks
MOST = 20_000  # networks that are compared with each other, some seconds


class TableError(ValueError):
    """A table that cannot be used: the message is one line."""


class Measured(NamedTuple):
    """Networks of a space and their times."""

    device: str
    networks: np.ndarray  # i64[N, positions]
    latency_ms: np.ndarray  # f64[N]
    lines: np.ndarray  # i64[N], of the file


class LookUp(NamedTuple):
    """Milliseconds of single layers: (where, what) -> ms, in the order of the file."""

    form: str  # one of LOOK_UPS
    entries: Mapping[tuple[str, str], float]


class Pair(NamedTuple):
    """At one place, what does less and what does all of that and more."""

    where: str
    smaller: str
    larger: str
    smaller_ms: float
    larger_ms: float

    @property
    def violates(self) -> bool:
        """Whether the smaller one is slower."""
        return self.smaller_ms > self.larger_ms


class Row(NamedTuple):
    line: int
    entries: Mapping[str, str]


def form(path: Path) -> str:
    """What a table is by its columns: NETWORKS, or one of LOOK_UPS. Raises TableError."""
    return _form(path, _rows(path)[1])


def of_layers(path: Path, form: str) -> str:
    """Why a look-up table is no table of networks: one line."""
    return (
        f"{path} is a {form} look-up table of layers, from which no model of whole networks is "
        f"fitted: `jaxnas latency check {path}` says what it holds."
    )


def devices(path: Path) -> list[str]:
    """The devices that a table of networks names."""
    rows, names = _rows(path)
    return _devices(rows, names)


def measured(
    path: Path, space: Space, *, device: str | None = None, column: str | None = None
) -> Measured:
    """Networks and times of a CSV file with a row a network.

    Columns: `network`, the names of its candidates position after position, or their indices,
    separated by spaces, or NAS-Bench-201's own string; one of latency_ms, latency_us, latency_ns,
    latency_s; `device` if several devices share the file, which `device` chooses among. `column`:
    another quantity than the times, as it stands in the column of that name. Of a campaign's own
    table the networks are those of the column `architecture`, and rows whose `kind` is not
    `network` are left out. Raises TableError for other columns, a network of another space,
    another device, and times that are no positive numbers, FitError for rows of one network that
    disagree.
    """
    rows, names = _rows(path)
    if (found := _look_up_form(names)) is not None:
        raise TableError(of_layers(path, found))
    units = [name for name in names if name in UNITS]
    if column is not None and column not in names:
        raise TableError(f"{path} has the columns {', '.join(names)}, and no {column!r}.")
    if "network" not in names or (column is None and len(units) != 1):
        raise TableError(
            f"{path} has the columns {', '.join(names)}: it needs `network` and one of "
            f"{', '.join(UNITS)}."
        )
    rows = [row for row in rows if row.entries.get("kind") not in PARTS]
    if not rows:
        raise TableError(f"{path} has no whole networks: measure some with --kinds network.")
    found = _devices(rows, names)
    if device is not None and found and device not in found:
        raise TableError(f"{path} is of {', '.join(found)}, not of {device!r}.")
    if device is None and len(found) > 1:
        raise TableError(
            f"{path} is of several devices ({', '.join(found)}): choose one with --device."
        )
    rows = [row for row in rows if not found or device is None or row.entries["device"] == device]
    networks = np.array([_network(path, row, space) for row in rows])
    read = units[0] if column is None else column
    times = np.array([_time(path, row, read) for row in rows]) * UNITS.get(read, 1.0)
    if "kind" not in names:  # a campaign's own
        accept.refuse_repeats(space, networks, times, read if read not in UNITS else LATENCY)
    lines = np.array([row.line for row in rows])
    return Measured(device or (found[0] if found else ""), networks, times, lines)


def look_up(path: Path) -> LookUp:
    """A look-up table, its form told by its columns. Raises TableError.

    Single-Path: layer, choice, latency_ms. ProxylessNAS: table, key, mean_ms, std_ms, count.
    FBNet-style: layer, op, latency_ms. Negative entries, which smoothing leaves in some published
    tables, are refused by name; a place and choice that stand twice as well.
    """
    rows, names = _rows(path)
    form = _form(path, names)
    if form == NETWORKS:
        raise TableError(f"{path} is a table of whole networks, and no look-up table of layers.")
    entries: dict[tuple[str, str], float] = {}
    for row in rows:
        where, what, column = _entry(path, form, row)
        if (where, what) in entries:
            raise TableError(f"{path}, line {row.line}: {what} at {where} stands twice: keep one.")
        entries[where, what] = _time(path, row, column, least=0.0)
    return LookUp(form, entries)


def compared(table: LookUp) -> list[Pair]:
    """All candidates of which one does, at the same place, what another does and more.

    A wider kernel or expansion cannot be faster: entries that say so (`violates`) were measured
    badly, most often without a warm-up.
    """
    places: dict[str, list[str]] = {}
    for where, what in table.entries:
        places.setdefault(where, []).append(what)
    return [
        Pair(where, names[i], names[j], *(table.entries[where, names[k]] for k in (i, j)))
        for where, names in places.items()
        for i, j in np.argwhere(candidates.grows(names))
    ]


def compared_networks(found: Measured, space: Space) -> tuple[int, list[Pair]]:
    """(how many pairs, those that violate) of networks that differ in grown candidates alone.

    Of the first MOST networks. A difference within the device's noise counts as well.
    """
    positions = layout.positions(space)
    networks, ms = found.networks[:MOST], found.latency_ms[:MOST]
    count, wrong = 0, []
    no_less = [_no_less(position.candidates) for position in positions]
    for i, network in enumerate(networks):
        more = (networks != network).any(1)
        for p, code in enumerate(network):
            more &= no_less[p][code, networks[:, p]]
        count += int(more.sum())
        for j in np.flatnonzero(more & (ms < ms[i])):
            at = np.flatnonzero(networks[j] != network)
            names = (
                " ".join(positions[p].candidates[row[p]] for p in at)
                for row in (network, networks[j])
            )
            where = f"lines {found.lines[i]} and {found.lines[j]}"
            wrong.append(Pair(where, *names, float(ms[i]), float(ms[j])))
    return count, wrong


def costs(table: LookUp, space: Space) -> np.ndarray:
    """f64[positions, candidates] of a chain whose layers are the places of the table in order.

    Candidates missing at their place are skips and cost nothing. Raises TableError where the
    table has fewer places than the space has layers, or more than its OUTSIDE ones beside, lacks
    another candidate, or names its places by their shapes.
    """
    if table.form == "proxyless":
        raise TableError(
            "A proxyless table tells layers by their shapes, which a space does not say: leave "
            "--space out."
        )
    places = list(dict.fromkeys(where for where, _ in table.entries))
    positions = layout.positions(space)
    if len(places) > len(positions) + OUTSIDE:
        raise TableError(
            f"The table has {len(places)} layers, the space searches {len(positions)}: it is of "
            "another space, or of other --cells."
        )
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


def _rows(path: Path) -> tuple[list[Row], Sequence[str]]:
    try:
        # Spreadsheets begin a file with a byte-order mark, which is no part of the first name.
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            text = file.read(LIMIT + 1)
    except OSError as error:
        raise TableError(f"Cannot read {path}: {error.strerror}. Give a CSV file.") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is no text: give a CSV file in UTF-8.") from error
    if len(text) > LIMIT:
        raise TableError(f"{path} has more than {LIMIT} characters: give a smaller table.")
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
    return [Row(line, clean(row)) for line, row in rows], names


def _devices(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    return sorted({row.entries["device"] for row in rows}) if "device" in names else []


def _look_up_form(names: Sequence[str]) -> str | None:
    return next((form for form, columns in LOOK_UPS.items() if set(columns) == set(names)), None)


def _form(path: Path, names: Sequence[str]) -> str:
    found = NETWORKS if "network" in names else _look_up_form(names)
    if found is None:
        known = "; ".join(f"{form}: {', '.join(columns)}" for form, columns in LOOK_UPS.items())
        raise TableError(
            f"{path} has the columns {', '.join(names)}; known tables are {known}; and whole "
            f"networks: network and one of {', '.join(UNITS)}."
        )
    return found


def _network(path: Path, row: Row, space: Space) -> list[int]:
    positions = layout.positions(space)
    where, parts = f"{path}, line {row.line}", _parts(path, row, space)
    if len(parts) != len(positions):
        raise TableError(
            f"{where}: {row.entries['network']!r} has {len(parts)} positions, the space has "
            f"{len(positions)}: it is of another space."
        )
    codes = []
    for part, position in zip(parts, positions, strict=True):
        if part is None:
            codes.append(-1)
        elif part in position.candidates:
            codes.append(position.candidates.index(part))
        elif part.isdecimal() and int(part) < len(position.candidates):
            codes.append(int(part))
        else:
            raise TableError(
                f"{where}: the space has no candidate {part!r} there, only "
                f"{', '.join(position.candidates)}."
            )
    return codes


def _parts(path: Path, row: Row, space: Space) -> Sequence[str | None]:
    """What stands at each position of the space; None: the edge is not there."""
    text = row.entries["network"]
    whole = row.entries.get("architecture", "")
    whole = whole if whole.startswith("{") else ""  # others may call a processor so
    if not whole and not text.startswith("|"):
        return text.split()
    try:
        found = genotype.from_json(whole) if whole else genotype.from_nasbench201(text)
    except GenotypeError as error:
        raise TableError(f"{path}, line {row.line}: no network ({error}).") from error
    parts = _standing(found, space)
    edges, known = sum(len(c.edges) for c in found.cells.values()), len(parts) - parts.count(None)
    chain = layout.is_chain(space)
    # Genotypes of DARTS's cells leave edges out; chains and the benchmark's strings do not.
    least = len(parts) if chain or not whole else edges
    if known < least or edges > known + OUTSIDE * chain:
        raise TableError(
            f"{path}, line {row.line}: the network has other edges than the space: it is of "
            "another, or of other --cells."
        )
    return parts


def _standing(found: Genotype, space: Space) -> list[str | None]:
    # A mobile genotype has all layers in one cell, its space may have them in two choices.
    one = layout.is_chain(space)
    at = {(one or name, s, t): op for name, cell in found.cells.items() for s, t, op in cell.edges}
    return [at.get((one or place.choice, *place.edge)) for place in layout.positions(space)]


def _time(path: Path, row: Row, column: str, least: float | None = None) -> float:
    cure = "measure it again or leave the row out"
    if not row.entries[column]:
        raise TableError(f"{path}, line {row.line}: {column} is empty: {cure}.")
    try:
        value = float(row.entries[column])
    except ValueError:
        raise TableError(
            f"{path}, line {row.line}: {row.entries[column]!r} in {column} is no number: write it "
            "with a point and without a unit, or leave the row out."
        ) from None
    if not math.isfinite(value) or (value <= 0 if least is None else value < least):
        raise TableError(
            f"{path}, line {row.line}: {column} is {value:g} in the row "
            f"{', '.join(row.entries.values())}: a value is positive; {cure}."
        )
    return value


def _no_less(names: Sequence[str]) -> np.ndarray:
    """bool[O + 1, O + 1]: whether a candidate does all that another does; the last is no edge."""
    found = np.eye(len(names) + 1, dtype=bool)
    found[:-1, :-1] |= candidates.grows(names)
    return found


def _entry(path: Path, form: str, row: Row) -> tuple[str, str, str]:
    """(where, what, the column of the time)."""
    if form == "fbnet":
        return f"layer {row.entries['layer']}", row.entries["op"], "latency_ms"
    if form == "single-path":
        if row.entries["choice"] not in ("0", "1", "2", "3"):
            raise TableError(
                f"{path}, line {row.line}: choice {row.entries['choice']!r} is none of 0 to 3."
            )
        return (
            f"layer {row.entries['layer']}",
            SINGLE_PATH_NAMES[int(row.entries["choice"])],
            "latency_ms",
        )
    key = re.fullmatch(r"(.+?)-expand:(\d+)-kernel:(\d+)(-.*)?", row.entries["key"])
    if key is None:
        return row.entries["key"], "whole", "mean_ms"
    return f"{key[1]}{key[4] or ''}", f"k{key[3]}_e{key[2]}", "mean_ms"
