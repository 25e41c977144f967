"""Look-up tables: milliseconds of single layers, in the formats of published tables."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import Space
from jaxnas.hardware.tables import latency_table, scale
from jaxnas.hardware.tables.latency_table import DominancePair, LatencyTable, Row, TableError
from jaxnas.spaces import genome, layers, op_names

SINGLE_PATH_NAMES = ("k3_e3", "k3_e6", "k5_e3", "k5_e6")  # of the choices 0 to 3
MAX_NOISE_RATIO = 1.1  # a dominated candidate slower by more is not explained by noise


class LookupTable(NamedTuple):
    """Milliseconds of single layers: (place, operation) -> ms, in the order of the file."""

    form: str  # one of latency_table.LAYER_TABLES
    entries: Mapping[tuple[str, str], float]


def read(table: LatencyTable) -> LookupTable:
    """A look-up table, its form determined by its columns. Raises TableError.

    Single-Path: layer, choice, latency_ms. ProxylessNAS: table, key, mean_ms, std_ms, count.
    FBNet-style: layer, op, latency_ms. Negative entries, which smoothing leaves in some published
    tables, are errors, and so are duplicates and entries of another scale than their likes.
    """
    form = latency_table.form(table)
    if form not in latency_table.LAYER_TABLES:
        raise TableError(
            f"{table.path} is a table of whole networks, and no look-up table of layers."
        )
    entries: dict[tuple[str, str], float] = {}
    lines: dict[tuple[str, str], int] = {}
    for row in table.rows:
        place, operation, column = _parse_row(table, form, row)
        if (place, operation) in entries:
            raise TableError(
                f"{table.path}, line {row.line}: {operation} at {place} stands twice: keep one."
            )
        entries[place, operation] = latency_table.value(table, row, column, minimum=0.0)
        lines[place, operation] = row.line
    scale.check_layers(entries, lines, str(table.path))
    return LookupTable(form, entries)


def single_path_times(path: str) -> dict[int, tuple[float, ...]]:
    """The table of Single-Path NAS in a file: layer -> times of SINGLE_PATH_NAMES.

    Raises TableError as `read`, for a table of another form, for zeros, for a layer that lacks a
    choice, and where a candidate is slower than one that dominates it, by more than
    MAX_NOISE_RATIO.
    """
    table = read(latency_table.read(Path(path).expanduser()))
    if table.form != "single-path":
        raise TableError(
            f"{path} is a {table.form} look-up table: Single-Path NAS needs one with the columns "
            f"{', '.join(latency_table.SINGLE_PATH)}."
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
    for pair in dominance_pairs(table):
        if pair.smaller_ms > MAX_NOISE_RATIO * pair.larger_ms:
            raise TableError(
                f"{path}, {pair.place}: {pair.smaller} takes {pair.smaller_ms:g} ms, "
                f"{pair.larger}, which does more, {pair.larger_ms:g} ms: measure the layer again."
            )
    return {layer: tuple(times[n] for n in SINGLE_PATH_NAMES) for layer, times in layers.items()}


def dominance_pairs(table: LookupTable) -> list[DominancePair]:
    """All pairs of candidates at one place of which one dominates the other.

    A larger kernel or expansion cannot be faster: entries where it is (`violates`) were measured
    badly, often without warm-up.
    """
    places: dict[str, list[str]] = {}
    for place, operation in table.entries:
        places.setdefault(place, []).append(operation)
    return [
        DominancePair(place, names[i], names[j], *(table.entries[place, names[k]] for k in (i, j)))
        for place, names in places.items()
        for i, j in np.argwhere(op_names.dominates(names))
    ]


def costs(table: LookupTable, space: Space) -> np.ndarray:
    """f64[positions, candidates] of a chain whose layers are the places of the table.

    Places with numbers are counted from 0 or from 1, others are in the order of the file.
    Skips missing in the table cost nothing. Raises TableError where the table has fewer places than
    the space has layers, or more than these and the fixed layers, lacks another candidate, or
    identifies places by their shapes.
    """
    if table.form == "proxyless":
        raise TableError(
            "A proxyless table tells layers by their shapes, which a space does not say: leave "
            "--space out."
        )
    places = list(dict.fromkeys(place for place, _ in table.entries))
    positions = genome.positions(space)
    if len(places) > len(positions) + genome.MAX_FIXED_LAYERS:
        raise TableError(
            f"The table has {len(places)} layers, the space searches {len(positions)}: it is of "
            "another space, or of other --cells."
        )
    places = _in_order(places, [position.edge[0] for position in positions])
    table_costs = np.zeros((len(positions), max(genome.cardinalities(space))))
    for p, position in enumerate(positions):
        if position.edge[0] not in places:
            raise TableError(
                f"The table has {len(places)} layers, the space needs layer {position.edge[0]}: "
                "it is of another space."
            )
        place = places[position.edge[0]]
        for o, name in enumerate(position.candidates):
            if op_names.kind(name) == op_names.PASS:
                table_costs[p, o] = table.entries.get((place, name), 0.0)
            elif (place, name) in table.entries:
                table_costs[p, o] = table.entries[place, name]
            else:
                raise TableError(f"The table has no {name!r} at {place}: it is of another space.")
    return table_costs


def _in_order(places: Sequence[str], searched: Sequence[int]) -> dict[int, str]:
    """Layer of the chain -> place. Raises TableError for numbers that may be read in two ways."""
    numbers = [place.removeprefix("layer ") for place in places]
    if not all(number.isdecimal() for number in numbers):
        return dict(enumerate(places))
    try:
        start = layers.first_number([int(number) for number in numbers], searched)
    except ValueError as error:
        raise TableError(str(error)) from error
    return {int(number) - start: place for number, place in zip(numbers, places, strict=True)}


def _parse_row(table: LatencyTable, form: str, row: Row) -> tuple[str, str, str]:
    """(place, operation, name of the time column) of a row."""
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
