"""`jaxnas latency` on tables whose rows are described by columns of numbers."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rich.console

from jaxnas.hardware.columns import column_file, column_model, column_table, column_validation
from jaxnas.hardware.columns.column_table import ColumnRows
from jaxnas.hardware.predict.predictor import LATENCY, margin, unit
from jaxnas.hardware.tables import latency_table
from jaxnas.pipelines.latency import measurements, report_folder
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.limits import fail
from jaxnas.run import progress

MODEL = "model.json"


def model_path(settings: latency.FitSettings, quantity: str) -> Path:
    """Where a model is written."""
    name = MODEL if quantity == LATENCY else f"{quantity}.json"
    default = measurements.folder(settings.measured) / name
    return default if settings.out is None else Path(settings.out).expanduser()


def fit_model(
    settings: latency.FitSettings, rows: ColumnRows, console: rich.console.Console
) -> Path:
    """Fits a model to rows and writes it; returns its file. Raises ValueError."""
    model, out = column_model.fit(rows), model_path(settings, rows.quantity)
    column_file.save(out, model)
    for line in _described(rows):
        progress.print_line(console, f"fit: {line}")
    progress.print_line(
        console,
        f"fit: {model.rows} different rows of {model.device or 'an unnamed device'}; 90 % of those "
        f"left out are within {margin(model):.1%} of what is predicted",
    )
    progress.print_line(console, f"model: {out}")
    return out


def predict(settings: latency.PredictSettings, console: rich.console.Console) -> None:
    """Prints what each row of tables takes, with its interval. Raises ValueError."""
    model = column_file.load(Path(settings.model).expanduser(), device=settings.device)
    if not settings.networks:
        fail(
            f"There is nothing to predict: give a table of rows with the columns "
            f"{', '.join(model.names)}."
        )
    found = []
    for text in settings.networks:
        path = Path(text).expanduser()
        if not (latency_table.is_table(path) and path.is_file()):
            fail(
                f"{text} is no table: the model is of columns; give a *.csv or *.npz with "
                f"{', '.join(model.names)}."
            )
        table = measurements.table(path)
        values = column_table.features(table, model.names, model.constants)
        rows = zip(table.rows, model.outside(values), *model.predict(values), strict=True)
        found += [(f"{text}, line {row.line}", *rest) for row, *rest in rows]
    shown_unit = unit(model.quantity)
    if settings.json:
        bounds = ("low_ms", "high_ms") if shown_unit == "ms" else ("low", "high")
        keys = ("row", "outside", model.quantity, *bounds)
        records = [
            dict(zip(keys, (name, _names(model, outside), *map(float, figures)), strict=True))
            for name, outside, *figures in found
        ]
        print(json.dumps(records, indent=2))
        return
    for name, outside, value, low, high in found:
        beyond = ", ".join(_names(model, outside))
        note = f"  (no such {beyond} was measured)" if beyond else ""
        progress.print_line(
            console,
            f"{value:.4g} {shown_unit}  (90 %: {low:.4g} to {high:.4g} {shown_unit})  {name}{note}",
        )


def report(
    settings: latency.ReportPredictorSettings, rows: ColumnRows, console: rich.console.Console
) -> Path:
    """Cross-validates our model and simpler ones; returns the folder. Raises ValueError."""
    qualities, measured, ours = column_validation.cross_validate(rows)
    out = measurements.folder(settings.measured)
    out = out if settings.out is None else Path(settings.out).expanduser()
    evaluation = report_folder.Evaluation(
        qualities, measured, ours, rows.device, rows.quantity, "rows"
    )
    notes = [
        f"one row is {100 / len(measured):.2g} points of a share; in brackets the 90 % interval of "
        f"a share of {len(measured)}",
        "column: a line over the column that is nearest to one; trees: boosted ones",
        *_described(rows),
    ]
    report_folder.write(out, evaluation, notes, {"columns": list(rows.names)}, console)
    return out


def checked(rows: ColumnRows) -> Iterator[str]:
    """Lines that say what a table holds. Raises ValueError for one that cannot be fitted."""
    values, measured = column_model.distinct(rows)
    yield (
        f"table of columns, {rows.device or 'an unnamed device'}: {len(values)} different rows "
        f"among {len(rows.values)}, {min(measured):.3g} to {max(measured):.3g} "
        f"{unit(rows.quantity)}"
    )
    low, high = rows.values.min(0), rows.values.max(0)
    for name, least, most in zip(rows.names, low, high, strict=True):
        yield f"  {name}: {least:g} to {most:g}"
    yield from list(_described(rows))[1:]


def _described(rows: ColumnRows) -> Iterator[str]:
    """Lines that say which columns describe a row, and which do not."""
    yield f"columns that describe a row: {', '.join(rows.names)}"
    if rows.constants:
        pairs = (f"{name} ({number:g})" for name, number in rows.constants.items())
        yield f"left out, as one number stands throughout: {', '.join(pairs)}"
    if rows.left_out:
        yield f"left out, as texts or other times: {', '.join(rows.left_out)}"


def _names(model: column_model.ColumnModel, chosen: np.ndarray) -> list[str]:
    return [name for name, is_chosen in zip(model.names, chosen, strict=True) if is_chosen]
