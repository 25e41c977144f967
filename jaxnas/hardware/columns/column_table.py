"""Tables of rows that columns of numbers describe, as benchmarks of transformers publish them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnas.hardware.predict.predictor import LATENCY
from jaxnas.hardware.tables import latency_table, network_table
from jaxnas.hardware.tables.latency_table import UNITS, LatencyTable, Row, TableError

DEVICE, TIMES = "device", "latency"  # columns that begin with the second are no features
MIN_NUMBERS = 0.5  # of a column's entries: one with fewer numbers is a text


class ColumnRows(NamedTuple):
    """Rows of numbers, and what was measured for them."""

    device: str
    quantity: str
    names: tuple[str, ...]  # of the columns that vary
    values: np.ndarray  # f64[N, columns]
    measured: np.ndarray  # f64[N], milliseconds or another quantity
    lines: np.ndarray  # i64[N], of the file
    constants: Mapping[str, float]  # columns with one number throughout, which tell nothing
    left_out: Sequence[str]  # columns of texts, and of other times


def is_one(table: LatencyTable, column: str | None = None) -> bool:
    """Whether rows of a table are described by its columns, and by no network or layer."""
    if table.form is not None:
        return table.form == latency_table.COLUMNS
    return column in table.names and not latency_table.has_layers(table)


def read(
    table: LatencyTable, *, device: str | None = None, column: str | None = None
) -> ColumnRows:
    """The rows of a table, and what was measured for them.

    Every column of numbers describes a row, but for what was measured: one of latency_ms,
    latency_us, latency_ns, latency_s, or `column`, which is read as it is. `device` selects one of
    several in a column of that name. Left out are columns of texts, those with one number
    throughout, and other times (`latency...`). Raises TableError for a table without times or
    without columns that vary, and for an entry of a column of numbers that is none.
    """
    path, names = table.path, list(table.names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise TableError(f"{path} has two columns {twice[0]!r}: rename or remove one.")
    target = _target(table, column)
    table, device = network_table.of_device(table, device)
    measured = np.array([latency_table.value(table, row, target) for row in table.rows])
    features, constants, left_out = {}, {}, []
    for name in names:
        if name in (target, DEVICE):
            continue
        numbers = None if name.startswith(TIMES) else _numbers(table, table.rows, name)
        if numbers is None:
            left_out.append(name)
        elif np.ptp(numbers) > 0:
            features[name] = numbers
        else:
            constants[name] = float(numbers[0])
    if not features:
        raise TableError(
            f"{path} has no column of numbers that vary beside {target}: give some that describe "
            "each row, or a column `network` with --space."
        )
    return ColumnRows(
        device,
        LATENCY if target in UNITS else target,
        tuple(features),
        np.stack(list(features.values()), 1),
        measured * UNITS.get(target, 1.0),
        np.array([row.line for row in table.rows]),
        constants,
        left_out,
    )


def features(
    table: LatencyTable, names: Sequence[str], constants: Mapping[str, float]
) -> np.ndarray:
    """f64[N, columns]: the columns `names` of a table.

    `constants`: numbers that these columns had in all rows of a fit, and have to have here, if the
    table has them. Raises TableError for a missing column, an entry that is no number, and another
    number than the constant.
    """
    path = table.path
    if missing := [name for name in names if name not in table.names]:
        raise TableError(
            f"{path} has the columns {', '.join(table.names)}: the model needs {missing[0]!r}, too."
        )
    values = [_numbers(table, table.rows, name, text=False) for name in names]
    for name in constants.keys() & set(table.names):
        for row, number in zip(table.rows, _numbers(table, table.rows, name, False), strict=True):
            if number != constants[name]:
                raise TableError(
                    f"{path}, line {row.line}: {name} is {number:g}, and was {constants[name]:g} "
                    "wherever the model was fitted: fit to rows in which it varies."
                )
    return np.stack(values, 1)


def of_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> LatencyTable | None:
    """The table of arrays of one number a row each, `device` of texts; None: they are others."""
    lengths = {array.shape for array in arrays.values()}
    if len(lengths) != 1 or len(shape := lengths.pop()) != 1 or not shape[0]:
        return None
    texts = [map(str, array.tolist()) for array in arrays.values()]
    rows = [
        Row(i + 1, dict(zip(arrays, entries, strict=True)))
        for i, entries in enumerate(zip(*texts, strict=True))
    ]
    return LatencyTable(path, rows, tuple(arrays))


def _target(table: LatencyTable, column: str | None) -> str:
    """The column of what was measured."""
    if column is not None:
        if column not in table.names:
            raise TableError(
                f"{table.path} has the columns {', '.join(table.names)}, and no {column!r}."
            )
        return column
    units = [name for name in table.names if name in UNITS]
    if len(units) != 1:
        raise TableError(
            f"{table.path} has the columns {', '.join(table.names)}: it needs one of "
            f"{', '.join(UNITS)}; choose one with --column."
        )
    return units[0]


def _numbers(
    table: LatencyTable, rows: Sequence[Row], name: str, text: bool = True
) -> np.ndarray | None:
    """f64[N] of a column; None: it is one of texts, which `text` allows. Raises TableError."""
    numbers = np.array([_number(row.entries[name]) for row in rows])
    missing = np.flatnonzero(~np.isfinite(numbers))
    if text and len(missing) > (1 - MIN_NUMBERS) * len(rows):
        return None
    if len(missing):
        row = rows[missing[0]]
        entry = repr(row.entries[name]) if row.entries[name] else "nothing"
        raise TableError(
            f"{table.path}, line {row.line}: {name} has numbers, and {entry} there: write a finite "
            "number, or leave the row or the column out."
        )
    return numbers


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
