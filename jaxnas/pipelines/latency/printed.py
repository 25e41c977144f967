"""What `fit` and `predict` print, whatever the kind of model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.console

from jaxnas.hardware.predict.predictor import margin, unit
from jaxnas.run import progress

Figures = Sequence[tuple[float, ...]]  # (predicted, low, high) each


def fitted(console: rich.console.Console, what: str, model: Any, out: Path) -> None:
    """The lines after a fit to `what`, as `12 networks`, of a model written to `out`."""
    progress.print_line(
        console,
        f"fit: {what} of {model.device or 'an unnamed device'}; 90 % of those left out are within "
        f"{margin(model):.1%} of what is predicted",
    )
    progress.print_line(console, f"model: {out}")


def predicted(
    console: rich.console.Console, quantity: str, names: Sequence[str], figures: Figures
) -> None:
    """A line for each prediction, with its interval."""
    shown_unit = unit(quantity)
    for name, (value, low, high) in zip(names, figures, strict=True):
        progress.print_line(
            console,
            f"{value:.4g} {shown_unit}  (90 %: {low:.4g} to {high:.4g} {shown_unit})  {name}",
        )


def as_json(quantity: str, parts: Sequence[Mapping[str, Any]], figures: Figures) -> None:
    """One JSON list: each prediction after what `parts` say it is of."""
    bounds = ("low_ms", "high_ms") if unit(quantity) == "ms" else ("low", "high")
    keys = (quantity, *bounds)
    records = [
        {**part, **dict(zip(keys, row, strict=True))}
        for part, row in zip(parts, figures, strict=True)
    ]
    print(json.dumps(records, indent=2))
