"""One tidy table of runs, a line each: CSV, and Parquet where pyarrow is installed."""

import csv
import importlib.util
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnas import run
from jaxnas.pipelines.ablation.finished_run import FinishedRun
from jaxnas.run import files

PACKAGES = ("jaxnas", "jax", "jaxlib", "flax", "optax", "numpy", "python")
STATUS, REASON = "status", "reason"
DONE, FAILED = "done", "failed"

Line = Mapping[str, Any]


def line(label: str, finished: FinishedRun, settings: Sequence[str]) -> dict[str, Any]:
    """The line of a finished run: name, seed, the named settings, figures, provenance."""
    environment = finished.environment
    versions = environment.get("versions", {})
    return {
        "name": label,
        "seed": finished.seed,
        STATUS: DONE,
        REASON: None,
        **{name: finished.settings.get(name) for name in settings},
        **finished.figures,
        "data_sha256": finished.data,
        "fingerprint": finished.fingerprint,
        **{f"version_{name}": versions.get(name) for name in PACKAGES},
        "device": (environment.get("device") or {}).get("kind"),
        "devices": (environment.get("device") or {}).get("count"),
        "backend": environment.get("backend"),
        "cpu_count": environment.get("cpu_count"),
        "commit": environment.get("commit"),
        "folder": str(finished.folder),
    }


def write(lines: Sequence[Line], folder: Path, stem: str) -> list[Path]:
    """Writes STEM.csv, and STEM.parquet if pyarrow is there, atomically; gives the paths.

    Every line has every column, empty where it has no value. Raises RunError.
    """
    columns = list(dict.fromkeys(name for one in lines for name in one))
    table = [{name: _scalar(one.get(name)) for name in columns} for one in lines]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    run.write_text(folder / f"{stem}.csv", text.getvalue())
    paths = [folder / f"{stem}.csv"]
    if importlib.util.find_spec("pyarrow") is not None:
        _write_parquet(table, columns, folder / f"{stem}.parquet")
        paths.append(folder / f"{stem}.parquet")
    return paths


def _write_parquet(table: Sequence[Line], columns: Sequence[str], path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    arrays = {name: _array([one[name] for one in table]) for name in columns}
    with files.as_run_error(path), files.atomic_write(path) as file:
        pyarrow.parquet.write_table(pyarrow.table(arrays), file)


def _array(values: Sequence[Any]) -> Any:
    """A column of one type: numbers, or texts where its values are of several kinds."""
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pyarrow.array([None if v is None else float(v) for v in values])
    if len(kinds) > 1:
        return pyarrow.array([None if v is None else str(v) for v in values])
    return pyarrow.array(values)


def _scalar(value: Any) -> Any:
    """Lists and objects as text: a cell holds one value."""
    return json.dumps(value) if isinstance(value, Mapping | list | tuple) else value
