"""What happened in the run, entry by entry: its curves and its gates."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.report import curves, draw_cell, formatting, heat_map, html_page, run_reader

_KNOWN = {  # prefix of metric names -> title, unit
    "loss": ("Loss", "nats"),
    "accuracy": ("Accuracy", "top-1"),
    "gates/entropy": ("Gate entropy", "nats"),
    "gates/skips": ("Skip connections chosen", "edges"),
    "step_ms": ("Time of a step", "ms"),
}
_ALONE = {  # metrics that belong to a chart by more than their name -> prefix, name
    "step_ms": ("step_ms", "step"),
    "time/step_ms": ("step_ms", "step"),
    "gates/entropy": ("gates/entropy", "mean"),
    "gates/skips": ("gates/skips", "all cells"),
}
_LINES = 8  # of a chart: more are a tangle
_CHARTS = 16  # at most: a run with a hundred metrics is still a page
_MOMENTS = 160  # columns of a heat map


class Point(NamedTuple):
    step: float | None
    epoch: float | None
    value: float


def charts(run: run_reader.RunContents, missing: list[str]) -> str:
    """A chart for each prefix of metric names, as `loss` of `loss/train`."""
    groups: dict[str, dict[str, dict[float, Point]]] = {}
    for entry in run.metrics:
        at = Point(*(formatting.number(entry.get(key)) for key in ("step", "epoch")), 0.0)
        moment = at.epoch if at.step is None else at.step
        for key, value in entry.items():
            prefix, name = _ALONE.get(key) or key.rpartition("/")[::2]
            value = formatting.number(value)
            if prefix and value is not None and moment is not None:
                # A resumed run may tell a step twice: the later telling counts.
                groups.setdefault(prefix, {}).setdefault(name, {})[moment] = at._replace(
                    value=value
                )
    # An architecture that moved at every step needs no chart of it.
    if all(point.value == 1 for point in groups.get("arch", {}).get("active", {}).values()):
        groups.pop("arch", None)
    known = list(_KNOWN)
    rank = lambda prefix: (known.index(prefix) if prefix in known else len(known), prefix)
    figures = []
    for prefix in sorted(groups, key=rank)[:_CHARTS]:
        group = {name: [line[m] for m in sorted(line)] for name, line in groups[prefix].items()}
        try:
            figures.append(_chart(prefix, group))
        except ValueError as error:
            missing.append(f"metrics.jsonl: {error}")
    if run.metrics and not groups:
        missing.append("metrics.jsonl holds no numbers over steps: the curves cannot be shown.")
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def _chart(prefix: str, group: Mapping[str, list[Point]]) -> str:
    title, unit = _KNOWN.get(prefix, (prefix.replace("/", ": "), "value"))
    points = [point for line in group.values() for point in line]
    # Epochs are kinder to read, unless several entries share one.
    label = "epoch"
    for line in group.values():
        epochs = {point.epoch for point in line}
        if None in epochs or len(epochs) < len(line):
            label = "step"
    if any(point.step is None for point in points):
        label = "epoch"
    series = {}
    for name in sorted(group)[:_LINES]:
        kept = [point for point in group[name] if getattr(point, label) is not None]
        if kept:
            x = [getattr(point, label) for point in kept]
            series[name] = curves.Series(x, [point.value for point in kept])
    percent = prefix.split("/")[-1] == "accuracy" and all(0 <= p.value <= 1 for p in points)
    picture = curves.lines(title, series, x_label=label, y_label=unit, percent=percent)
    left_out = f"The first {_LINES} of {len(group)} by name." if len(group) > _LINES else ""
    return html_page.figure(picture, "curve-" + re.sub(r"[^A-Za-z0-9]+", "-", prefix), left_out)


def heat_maps(run: run_reader.RunContents, missing: list[str]) -> str:
    """A heat map for each cell whose gates were recorded."""
    figures = []
    for index, (name, choice) in enumerate(run.space.items() if run.gates else ()):
        try:
            edges = [(int(source), int(target)) for source, target in choice["edges"]]
            candidates = [[str(op) for op in ops] for ops in choice["candidates"]]
            history, x, label = _moments(run, name, (len(edges), len(candidates[0])))
            title = f"{draw_cell.label(name)} cell"
            picture = heat_map.heat_map(title, history, edges, candidates, x, label)
        except (ValueError, TypeError, LookupError, OverflowError):
            missing.append(f"Gates of cell {name}: gates.jsonl and space.json do not fit together.")
            continue
        caption = (
            "A panel an edge (source → target), a row a candidate; the stronger its blue, the "
            "wider open. The name above is the candidate widest open at the end."
        )
        figures.append(html_page.figure(picture, f"gates-{index}", caption, wide=True))
    return "".join(figures)


def _moments(run: run_reader.RunContents, name: str, shape: tuple[int, int]):
    """The gates f32[T, edges, candidates] of a cell, their epochs or steps, and which."""
    kept = []
    # A resumed run may tell a step twice: the later telling counts.
    entries = {entry.get("step", index): entry for index, entry in enumerate(run.gates)}
    for entry in entries.values():
        table = entry.get("gates")
        values = np.asarray(table[name], float) if isinstance(table, dict) and name in table else ()
        if np.shape(values) == shape:
            kept.append((entry, values))
    if not kept:
        raise ValueError(f"no gates of cell {name} with shape {shape}")
    if len(kept) > _MOMENTS:
        kept = [kept[i] for i in np.linspace(0, len(kept) - 1, _MOMENTS).astype(int)]
    for label in ("epoch", "step"):
        x = [formatting.number(entry.get(label)) for entry, _ in kept]
        if None not in x:
            return np.stack([values for _, values in kept]), x, label
    return np.stack([values for _, values in kept]), list(range(len(kept))), "entry"
