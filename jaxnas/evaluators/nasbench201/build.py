"""The table's file, built from an export of the public benchmark's API."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxnas.evaluators.nasbench201 import cost, isomorphism, table
from jaxnas.evaluators.nasbench201.isomorphism import COUNT, BenchmarkError, encode
from jaxnas.evaluators.nasbench201.table import ACCURACIES, KEYS, MACS, SETS, TabularBenchmark
from jaxnas.run import files
from jaxnas.spaces.genotype import GenotypeError
from jaxnas.spaces.nasbench201.notation import from_arch

COLUMNS = ("index", "arch", "n_seeds", *ACCURACIES)


def build(export: Path | str, out: Path | str) -> TabularBenchmark:
    """Writes the table of an export, a .csv with a header or a .jsonl, and returns it.

    An export has one line a cell with COLUMNS, in any order; docs/oracle.md has the code that
    writes it. Parameters, multiply-accumulates and isomorphism are computed, since the public
    table's costs are wrong for 150 cells. Raises BenchmarkError, which names the line, without
    writing, if a value is missing or wrong; OSError if `out` cannot be written.
    """
    export, out = Path(export), Path(out)
    if out.suffix.lower() != ".npz":
        raise BenchmarkError(f"{out} would hold a table: give it a name that ends in .npz.")
    if not export.is_file():
        raise BenchmarkError(f"No export {export}: docs/oracle.md says how one is written.")
    rows: dict[int, list] = {}
    seen: set[bytes] = set()
    for line, row in _lines(export):
        index, *values = _values(f"{export}, line {line}", row)
        if index in rows or values[0].tobytes() in seen:
            twice = f"the index {index}" if index in rows else f"the cell {row['arch']}"
            raise BenchmarkError(
                f"{export}, line {line}: {twice} stands twice; write each cell once."
            )
        rows[index] = values
        seen.add(values[0].tobytes())
    if set(rows) != set(range(COUNT)):
        raise BenchmarkError(
            f"{export} has {len(rows):,} cells, not the indices 0 to {COUNT - 1}: "
            "let the export run to its end."
        )
    return _write(out, [rows[index] for index in range(COUNT)])


def _write(out: Path, rows: list[list]) -> TabularBenchmark:
    codes = np.array([row[0] for row in rows])
    arrays = {
        "index": np.arange(COUNT),
        "code": table.to_digits(codes),
        "arch": table.to_archs(codes),
        "iso_rep": isomorphism.representatives(codes),
        "n_seeds": np.array([row[1] for row in rows], np.int64),
        **{key: np.array([row[i] for row in rows]) for i, key in enumerate(ACCURACIES, 2)},
        **{f"params_{s.key}": cost.parameters(codes, s.classes) for s in SETS.values()},
        MACS: cost.macs(codes, SETS["cifar10"].classes, SETS["cifar10"].side) / 1e6,
    }
    assert set(arrays) == set(KEYS)
    with files.atomic_write(out) as file:
        np.savez_compressed(file, **arrays)
        file.flush()
        return table.load(file.name)


def _lines(export: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line number, row) of every row."""
    try:
        # utf-8-sig drops the byte-order mark that spreadsheets write.
        with export.open(encoding="utf-8-sig", newline="") as file:
            if export.suffix.lower() == ".csv":
                reader = csv.DictReader(file, strict=True)
                for row in reader:
                    yield reader.line_num, row
            elif export.suffix.lower() == ".jsonl":
                for number, text in enumerate(file, 1):
                    yield number, json.loads(text)
            else:
                raise BenchmarkError(f"{export} is neither a .csv nor a .jsonl: rename the export.")
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error, RecursionError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0]
        raise BenchmarkError(
            f"{export} cannot be read ({cause}): write the export again."
        ) from error


def _values(location: str, row: Mapping[str, Any]) -> list:
    """index, code, seeds, accuracies of a row."""
    if not isinstance(row, dict):
        raise BenchmarkError(f"{location}: it is {type(row).__name__}, not an object of columns.")
    missing = [key for key in COLUMNS if row.get(key) in (None, "")]
    if missing:
        raise BenchmarkError(
            f"{location}: {missing[0]} is missing; an export has {', '.join(COLUMNS)}."
        )
    try:
        code = encode(from_arch(row["arch"]))
    except (BenchmarkError, GenotypeError) as error:
        raise BenchmarkError(f"{location}: {error}") from error
    return [
        _number(location, row, "index", int, 0, COUNT - 1),
        code,
        _number(location, row, "n_seeds", int, 1, COUNT),
        *(_number(location, row, key, float, 0, 100) for key in ACCURACIES),
    ]


def _number(
    location: str, row: Mapping[str, Any], key: str, number_type: type, minimum: int, maximum: int
) -> float | int:
    """A value from `minimum` to `maximum`; text, as in a .csv, or a number."""
    value = row[key]
    try:
        number = number_type(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, (int, number_type)):
        expected = "a whole number" if number_type is int else "a number"
        raise BenchmarkError(f"{location}: {key} is {str(value)[:40]!r}, not {expected}.")
    if not minimum <= number <= maximum:
        raise BenchmarkError(f"{location}: {key} is {number}, not from {minimum} to {maximum}.")
    return number
