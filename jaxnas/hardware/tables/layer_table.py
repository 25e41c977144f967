"""Look-up tables: milliseconds of single layers, as papers publish them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.tables import csv_table
from jaxnas.hardware.tables.csv_table import LatencyTable, Pair, Row, TableError
from jaxnas.spaces import genome, op_names

SINGLE_PATH_NAMES = ("k3_e3", "k3_e6", "k5_e3", "k5_e6")  # of the choices 0 to 3
NOISE = 1.1  # times: above, no noise explains that what does less is slower


class LookUp(NamedTuple):
    """Milliseconds of single layers: (where, what) -> ms, in the order of the file."""

    form: str  # one of tables.LOOK_UPS
    entries: Mapping[tuple[str, str], float]


def read(table: LatencyTable) -> LookUp:
    """A look-up table, its form told by its columns. Raises TableError.

    Single-Path: layer, choice, latency_ms. ProxylessNAS: table, key, mean_ms, std_ms, count.
    FBNet-style: layer, op, latency_ms. Negative entries, which smoothing leaves in some published
    tables, are refused by name; a place and choice that stand twice as well.
    """
    form = csv_table.form(table)
    if form == csv_table.NETWORKS:
        raise TableError(
            f"{table.path} is a table of whole networks, and no look-up table of layers."
        )
    entries: dict[tuple[str, str], float] = {}
    for row in table.rows:
        where, what, column = _entry(table, form, row)
        if (where, what) in entries:
            raise TableError(
                f"{table.path}, line {row.line}: {what} at {where} stands twice: keep one."
            )
        entries[where, what] = csv_table.value(table, row, column, least=0.0)
    return LookUp(form, entries)


def single_path_times(path: str) -> dict[int, tuple[float, ...]]:
    """Single-Path NAS's table of a file: layer -> the times of its SINGLE_PATH_NAMES.

    Raises TableError as `read`, for a table of another form, for zeros, for a layer that lacks a
    choice, and where a candidate is slower than one that does more, by more than NOISE.
    """
    table = read(csv_table.read(Path(path).expanduser()))
    if table.form != "single-path":
        raise TableError(
            f"{path} is a {table.form} look-up table: Single-Path NAS needs one with the columns "
            f"{', '.join(csv_table.SINGLE_PATH)}."
        )
    layers: dict[int, dict[str, float]] = {}
    for (place, name), ms in table.entries.items():
        number = place.removeprefix("layer ")
        if not number.isdecimal() or number != str(int(number)):
            raise TableError(f"{path}: layer {number!r} is no number: count layers from 0.")
        if not ms > 0:
            raise TableError(f"{path}: {name} at {place} takes {ms:g} ms: measure it again.")
        layers.setdefault(int(number), {})[name] = ms
    for layer, times in layers.items():
        if len(times) < len(SINGLE_PATH_NAMES):
            raise TableError(
                f"{path}: layer {layer} has {len(times)} of its four choices: give all."
            )
    for pair in compared(table):
        if pair.smaller_ms > NOISE * pair.larger_ms:
            raise TableError(
                f"{path}, {pair.where}: {pair.smaller} takes {pair.smaller_ms:g} ms, "
                f"{pair.larger}, which does more, {pair.larger_ms:g} ms: measure the layer again."
            )
    return {layer: tuple(times[n] for n in SINGLE_PATH_NAMES) for layer, times in layers.items()}


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
        for i, j in np.argwhere(op_names.dominates(names))
    ]


def costs(table: LookUp, space: Space) -> np.ndarray:
    """f64[positions, candidates] of a chain whose layers are the places of the table in order.

    Candidates missing at their place are skips and cost nothing. Raises TableError where the
    table has fewer places than the space has layers, or more than the fixed ones beside, lacks
    another candidate, or names its places by their shapes.
    """
    if table.form == "proxyless":
        raise TableError(
            "A proxyless table tells layers by their shapes, which a space does not say: leave "
            "--space out."
        )
    places = list(dict.fromkeys(where for where, _ in table.entries))
    positions = genome.positions(space)
    if len(places) > len(positions) + genome.MAX_FIXED_LAYERS:
        raise TableError(
            f"The table has {len(places)} layers, the space searches {len(positions)}: it is of "
            "another space, or of other --cells."
        )
    found = np.zeros((len(positions), max(genome.cardinalities(space))))
    for p, position in enumerate(positions):
        if position.edge[0] >= len(places):
            raise TableError(
                f"The table has {len(places)} layers, the space needs layer {position.edge[0]}: "
                "it is of another space."
            )
        where = places[position.edge[0]]
        for o, name in enumerate(position.candidates):
            if op_names.kind(name) == op_names.PASS:
                found[p, o] = table.entries.get((where, name), 0.0)
            elif (where, name) in table.entries:
                found[p, o] = table.entries[where, name]
            else:
                raise TableError(f"The table has no {name!r} at {where}: it is of another space.")
    return found


def _entry(table: LatencyTable, form: str, row: Row) -> tuple[str, str, str]:
    """(where, what, the column of the time)."""
    if form == "fbnet":
        return f"layer {row.entries['layer']}", row.entries["op"], "latency_ms"
    if form == "single-path":
        if row.entries["choice"] not in ("0", "1", "2", "3"):
            raise TableError(
                f"{table.path}, line {row.line}: choice {row.entries['choice']!r} is none of 0 to "
                "3."
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
