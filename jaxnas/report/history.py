"""Metrics and gates of a run over time: its charts and heat maps."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.report import curves, draw_cell, formatting, heat_map, html_page, run_reader

_TITLES = {  # prefix of metric names -> title, unit
    "loss": ("Loss", "nats"),
    "accuracy": ("Accuracy", "top-1"),
    "gates/entropy": ("Gate entropy", "nats"),
    "gates/skips": ("Skip connections chosen", "edges"),
    "step_ms": ("Time of a step", "ms"),
}
_CHARTS = {  # metrics whose chart does not follow from their names -> prefix, name
    "step_ms": ("step_ms", "step"),
    "time/step_ms": ("step_ms", "step"),
    "gates/entropy": ("gates/entropy", "mean"),
    "gates/skips": ("gates/skips", "all cells"),
}
_MAX_LINES = 8  # of a chart
_MAX_CHARTS = 16
_MAX_COLUMNS = 160  # of a heat map


class _Sample(NamedTuple):
    step: float | None
    epoch: float | None
    value: float


def charts(run: run_reader.RunContents, missing: list[str]) -> str:
    """Charts, as HTML: one for each prefix of metric names, as `loss` of `loss/train`.

    Appends a sentence to `missing` for each chart that cannot be shown.
    """
    groups: dict[str, dict[str, dict[float, _Sample]]] = {}
    for record in run.metrics:
        step, epoch = (formatting.number(record.get(key)) for key in ("step", "epoch"))
        time = epoch if step is None else step
        for key, value in record.items():
            prefix, name = _CHARTS.get(key) or key.rpartition("/")[::2]
            value = formatting.number(value)
            if prefix and value is not None and time is not None:
                # A resumed run may have two lines of a step: the later one counts.
                samples = groups.setdefault(prefix, {}).setdefault(name, {})
                samples[time] = _Sample(step, epoch, value)
    # An architecture that was updated at every step needs no chart of it.
    if all(point.value == 1 for point in groups.get("arch", {}).get("active", {}).values()):
        groups.pop("arch", None)
    titled = list(_TITLES)
    rank = lambda prefix: (titled.index(prefix) if prefix in titled else len(titled), prefix)
    figures = []
    for prefix in sorted(groups, key=rank)[:_MAX_CHARTS]:
        group = {
            name: [samples[time] for time in sorted(samples)]
            for name, samples in groups[prefix].items()
        }
        try:
            figures.append(_chart(prefix, group))
        except ValueError as error:
            missing.append(f"metrics.jsonl: {error}")
    if run.metrics and not groups:
        missing.append("metrics.jsonl holds no numbers over steps: the curves cannot be shown.")
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def _chart(prefix: str, group: Mapping[str, list[_Sample]]) -> str:
    title, unit = _TITLES.get(prefix, (prefix.replace("/", ": "), "value"))
    points = [point for line in group.values() for point in line]
    # Epochs are easier to read, unless a metric has several values in one.
    label = "epoch"
    for line in group.values():
        epochs = {point.epoch for point in line}
        if None in epochs or len(epochs) < len(line):
            label = "step"
    if any(point.step is None for point in points):
        label = "epoch"
    series = {}
    for name in sorted(group)[:_MAX_LINES]:
        labelled = [point for point in group[name] if getattr(point, label) is not None]
        if labelled:
            x = [getattr(point, label) for point in labelled]
            series[name] = curves.Series(x, [point.value for point in labelled])
    percent = prefix.split("/")[-1] == "accuracy" and all(0 <= p.value <= 1 for p in points)
    picture = curves.lines(title, series, x_label=label, y_label=unit, percent=percent)
    caption = ""
    if len(group) > _MAX_LINES:
        caption = f"The first {_MAX_LINES} of {len(group)} by name."
    return html_page.figure(picture, "curve-" + re.sub(r"[^A-Za-z0-9]+", "-", prefix), caption)


def heat_maps(run: run_reader.RunContents, missing: list[str]) -> str:
    """Heat maps, as HTML: one for each cell whose gates were recorded.

    Appends a sentence to `missing` for each cell that cannot be shown.
    """
    figures = []
    for index, (name, choice) in enumerate(run.space.items() if run.gates else ()):
        try:
            edges = [(int(source), int(target)) for source, target in choice["edges"]]
            candidates = [[str(op) for op in ops] for ops in choice["candidates"]]
            history, x, label = _gates_over_time(run, name, (len(edges), len(candidates[0])))
            title = f"{draw_cell.label(name)} cell"
            picture = heat_map.heat_map(title, history, edges, candidates, x, label)
        except (ValueError, TypeError, LookupError, OverflowError):
            missing.append(f"Gates of cell {name}: gates.jsonl and space.json do not fit together.")
            continue
        caption = (
            "A panel an edge (source → target), a row a candidate; the darker its blue, the "
            "larger its gate. The name above is the candidate with the largest gate at the end."
        )
        figures.append(html_page.figure(picture, f"gates-{index}", caption, wide=True))
    return "".join(figures)


def _gates_over_time(run: run_reader.RunContents, name: str, shape: tuple[int, int]):
    """(gates f32[T, edges, candidates] of a cell, their x values, "epoch", "step" or "entry").

    Raises ValueError if no gates of that shape were recorded.
    """
    recorded = []
    # A resumed run may have two lines of a step: the later one counts.
    by_step = {record.get("step", index): record for index, record in enumerate(run.gates)}
    for record in by_step.values():
        table = record.get("gates")
        values = np.asarray(table[name], float) if isinstance(table, dict) and name in table else ()
        if np.shape(values) == shape:
            recorded.append((record, values))
    if not recorded:
        raise ValueError(f"no gates of cell {name} with shape {shape}")
    if len(recorded) > _MAX_COLUMNS:
        indices = np.linspace(0, len(recorded) - 1, _MAX_COLUMNS).astype(int)
        recorded = [recorded[i] for i in indices]
    for label in ("epoch", "step"):
        x = [formatting.number(record.get(label)) for record, _ in recorded]
        if None not in x:
            return np.stack([values for _, values in recorded]), x, label
    return np.stack([values for _, values in recorded]), list(range(len(recorded))), "entry"
