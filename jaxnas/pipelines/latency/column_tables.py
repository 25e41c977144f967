"""`jaxnas latency` on tables whose rows are described by columns of numbers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import rich.console

from jaxnas.hardware.columns import column_file, column_model, column_table, column_validation
from jaxnas.hardware.columns.column_table import ColumnRows
from jaxnas.hardware.predict.predictor import unit
from jaxnas.hardware.tables import latency_table
from jaxnas.pipelines.latency import measurements, printed, report_folder
from jaxnas.pipelines.settings import latency
from jaxnas.pipelines.settings.limits import fail
from jaxnas.run import progress


def fit_model(
    settings: latency.FitSettings, rows: ColumnRows, console: rich.console.Console
) -> Path:
    """Fits a model to rows and writes it; returns its file. Raises ValueError."""
    model, out = column_model.fit(rows), measurements.model_path(settings, rows.quantity)
    column_file.save(out, model)
    for line in _described(rows):
        progress.print_line(console, f"fit: {line}")
    printed.fitted(console, f"{model.rows} different rows", model, out)
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
    figures = [(*map(float, row),) for _, _, *row in found]
    beyond = [_names(model, outside) for _, outside, *_ in found]
    if settings.json:
        parts = [{"row": name, "outside": b} for (name, *_), b in zip(found, beyond, strict=True)]
        printed.as_json(model.quantity, parts, figures)
        return
    notes = [f"  (no such {', '.join(b)} was measured)" if b else "" for b in beyond]
    texts = [name + note for (name, *_), note in zip(found, notes, strict=True)]
    printed.predicted(console, model.quantity, texts, figures)


def report(
    settings: latency.ReportPredictorSettings, rows: ColumnRows, console: rich.console.Console
) -> Path:
    """Cross-validates our model and simpler ones; returns the folder. Raises ValueError."""
    qualities, measured, ours = column_validation.cross_validate(rows)
    out = measurements.report_folder(settings)
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
