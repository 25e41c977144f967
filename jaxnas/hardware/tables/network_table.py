"""Tables of whole networks that were timed, here or elsewhere."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware import programs
from jaxnas.hardware.predict import validation
from jaxnas.hardware.predict.predictor import LATENCY
from jaxnas.hardware.tables import csv_table
from jaxnas.hardware.tables.csv_table import UNITS, LatencyTable, Pair, Row, TableError
from jaxnas.spaces import genome, op_names, registry
from jaxnas.spaces.genotype import GenotypeError

NOTATION = "|"  # begins a network that is written in a space's own notation
PARTS = tuple(kind for kind in programs.KINDS if kind != programs.NETWORK)  # no whole networks
MOST = 20_000  # networks that are compared with each other, some seconds


class Measured(NamedTuple):
    """Networks of a space and their times."""

    device: str
    networks: np.ndarray  # i64[N, positions]
    latency_ms: np.ndarray  # f64[N]
    lines: np.ndarray  # i64[N], of the file


def of_layers(table: LatencyTable) -> str:
    """Why a look-up table is no table of networks: one line."""
    return (
        f"{table.path} is a {table.form} look-up table of layers, from which no model of whole "
        f"networks is fitted: `jaxnas latency check {table.path}` says what it holds."
    )


def devices(table: LatencyTable) -> list[str]:
    """The devices that a table of networks names."""
    named = "device" in table.names
    return sorted({row.entries["device"] for row in table.rows}) if named else []


def measured(
    table: LatencyTable, space: Space, *, device: str | None = None, column: str | None = None
) -> Measured:
    """Networks and times of a table with a row a network.

    Columns: `network`, the names of its candidates position after position, or their indices,
    separated by spaces, or NAS-Bench-201's own string; one of latency_ms, latency_us, latency_ns,
    latency_s; `device` if several devices share the file, which `device` chooses among. `column`:
    another quantity than the times, as it stands in the column of that name. Of a campaign's own
    table the networks are those of the column `architecture`, and rows whose `kind` is not
    `network` are left out. Raises TableError for other columns, a network of another space,
    another device, and times that are no positive numbers, FitError for rows of one network that
    disagree.
    """
    path, names = table.path, table.names
    if table.form in csv_table.LOOK_UPS:
        raise TableError(of_layers(table))
    units = [name for name in names if name in UNITS]
    if column is not None and column not in names:
        raise TableError(f"{path} has the columns {', '.join(names)}, and no {column!r}.")
    if "network" not in names or (column is None and len(units) != 1):
        raise TableError(
            f"{path} has the columns {', '.join(names)}: it needs `network` and one of "
            f"{', '.join(UNITS)}."
        )
    rows = [row for row in table.rows if row.entries.get("kind") not in PARTS]
    if not rows:
        raise TableError(f"{path} has no whole networks: measure some with --kinds network.")
    found = devices(table._replace(rows=rows))
    if device is not None and found and device not in found:
        raise TableError(f"{path} is of {', '.join(found)}, not of {device!r}.")
    if device is None and len(found) > 1:
        raise TableError(
            f"{path} is of several devices ({', '.join(found)}): choose one with --device."
        )
    rows = [row for row in rows if not found or device is None or row.entries["device"] == device]
    networks = np.array([_network(table, row, space) for row in rows])
    read = units[0] if column is None else column
    times = np.array([csv_table.value(table, row, read) for row in rows]) * UNITS.get(read, 1.0)
    if "kind" not in names:  # a campaign's own
        validation.check_repeats(space, networks, times, read if read not in UNITS else LATENCY)
    lines = np.array([row.line for row in rows])
    return Measured(device or (found[0] if found else ""), networks, times, lines)


def compared(found: Measured, space: Space) -> tuple[int, list[Pair]]:
    """(how many pairs, those that violate) of networks that differ in grown candidates alone.

    Of the first MOST networks. A difference within the device's noise counts as well.
    """
    positions = genome.positions(space)
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


def _network(table: LatencyTable, row: Row, space: Space) -> np.ndarray:
    """The network of a row: candidates or their indices, a genotype, or a space's own notation."""
    text = row.entries["network"]
    architecture = row.entries.get("architecture", "")
    architecture = architecture if architecture.startswith("{") else ""  # others say the processor
    where = f"{table.path}, line {row.line}"
    try:
        if architecture or text.startswith(NOTATION):
            found = registry.parse_genotype(architecture or text)
            codes = genome.encode(space, found)
        else:
            codes = _codes(text, space)
    except GenotypeError as error:
        raise TableError(f"{where}: {error}") from error
    if not architecture and -1 in codes:
        raise TableError(f"{where}: {text!r} has not all edges of the space: it is of another.")
    return codes


def _codes(text: str, space: Space) -> np.ndarray:
    positions, words = genome.positions(space), text.split()
    if len(words) != len(positions):
        raise GenotypeError(
            f"{text!r} has {len(words)} positions, the space has {len(positions)}: it is of "
            "another space."
        )
    codes = []
    for word, position in zip(words, positions, strict=True):
        if word in position.candidates:
            codes.append(position.candidates.index(word))
        elif word.isdecimal() and int(word) < len(position.candidates):
            codes.append(int(word))
        else:
            raise GenotypeError(
                f"The space has no candidate {word!r} there, only {', '.join(position.candidates)}."
            )
    names = [p.candidates[code] for p, code in zip(positions, codes, strict=True)]
    genome.check_widths(names if genome.is_chain(space) else [])
    return np.array(codes)


def _no_less(names: Sequence[str]) -> np.ndarray:
    """bool[O + 1, O + 1]: whether a candidate does all that another does; the last is no edge."""
    found = np.eye(len(names) + 1, dtype=bool)
    found[:-1, :-1] |= op_names.dominates(names)
    return found
