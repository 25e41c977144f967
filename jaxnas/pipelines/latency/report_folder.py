"""The report of a cross-validation in a folder: a page, its figures as JSON, a plot."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rich.console

from jaxnas.hardware import shares
from jaxnas.hardware.predict import cross_validation
from jaxnas.hardware.predict.metrics import Quality
from jaxnas.hardware.predict.predictor import LATENCY, unit
from jaxnas.report import figures, table
from jaxnas.run import files, progress

REPORT, PAGE, PLOT = "report.json", "report.md", "predicted.svg"
HEAD = ("model", "Spearman", "Kendall", "within 5 %", "within 10 %", "MdAPE %", "coverage 90 %")


class Evaluation(NamedTuple):
    """Models on networks, or on rows, that they were not fitted to."""

    qualities: Mapping[str, Quality]  # of each model
    measured: np.ndarray  # f64[N]
    predicted: np.ndarray  # f64[N], by ours
    device: str
    quantity: str
    noun: str = "networks"


def write(
    out: Path,
    evaluation: Evaluation,
    notes: Sequence[str],
    facts: Mapping[str, Any],
    console: rich.console.Console,
) -> None:
    """Writes the report with its notes, `facts` into its JSON, and prints it. Raises RunError."""
    quantity, prefix = "latency", ""
    if evaluation.quantity != LATENCY:
        quantity, prefix = evaluation.quantity, f"{evaluation.quantity}-"
    with files.as_run_error(out):
        out.mkdir(parents=True, exist_ok=True)
    count, device = len(evaluation.measured), evaluation.device
    title = (
        f"{count} {evaluation.noun} of {device or 'an unnamed device'}, each predicted from other "
        f"{1 - 1 / cross_validation.FOLDS:.0%} of them"
    )
    qualities = evaluation.qualities
    text_table = table.TextTable(
        HEAD, [(name, *_figures(quality, count)) for name, quality in qualities.items()]
    )
    intervals = {
        name: [100 * bound for bound in shares.interval(quality.within5 / 100, count)]
        for name, quality in qualities.items()
    }
    record = {
        "device": device, evaluation.noun: count, "folds": cross_validation.FOLDS,
        "models": {
            name: quality._asdict() | {"within5_interval": intervals[name]}
            for name, quality in qualities.items()
        },
    }  # fmt: skip
    files.write_text(out / f"{prefix}{REPORT}", json.dumps(record | dict(facts), indent=2) + "\n")
    paragraphs = "".join(f"- {note}\n" for note in notes)
    text = (
        f"# Predicted {quantity}\n\n{title}.\n\n{table.markdown(text_table)}\n{paragraphs}\n"
        f"![predicted against measured]({prefix}{PLOT})\n"
    )
    page, picture = out / f"{prefix}{PAGE}", out / f"{prefix}{PLOT}"
    files.write_text(page, text)
    figures.predicted_against_measured(
        picture, evaluation.measured, evaluation.predicted, device or "unnamed device",
        unit(evaluation.quantity),
    )  # fmt: skip
    for line in (title, *table.text(text_table).splitlines(), *notes):
        progress.print_line(console, line)
    progress.print_line(console, f"report: {page}; plot: {picture}")


def _figures(quality: Quality, networks: int) -> list[str]:
    """Shares and errors are percent; a share within 5 or 10 % has its 90 % interval behind it."""
    formats = {"spearman": ".3f", "kendall": ".3f", "mdape": ".1f"}
    texts = []
    for name, value in quality._asdict().items():
        text = format(value, formats.get(name, ".0f"))
        if name in ("within5", "within10"):
            low, high = shares.interval(value / 100, networks)
            text += f" ({100 * low:.0f} to {100 * high:.0f})"
        texts.append(text)
    return texts
