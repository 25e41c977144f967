"""A picture of predicted against measured values."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from jaxnas.run import files


def predicted_against_measured(
    path: Path, measured: np.ndarray, predicted: np.ndarray, device: str, unit: str = "ms"
) -> None:
    """Writes an SVG with a dot a network, the diagonal, and a band of 10 percent.

    Raises RunError if it cannot be written.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    ends = np.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
    axes.fill_between(ends, 0.9 * ends, 1.1 * ends, color="0.9", label="within 10 %")
    axes.plot(ends, ends, color="0.5", linewidth=1)
    axes.plot(measured, predicted, ".", markersize=4, alpha=0.6)
    axes.set(xlabel=f"measured, {unit}", ylabel=f"predicted, {unit}", title=device)
    axes.legend(loc="upper left")
    canvas = FigureCanvasSVG(figure)
    with files.as_run_error(path), files.atomic_write(path) as file:
        canvas.print_svg(file)
