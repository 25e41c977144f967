"""The report of the study of targets: networks side by side, and what a search gained."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.stats

from jaxnas import run
from jaxnas.pipelines import study
from jaxnas.report import figures, table
from jaxnas.strategies.selection_record import TOLERANCE

FREE, FOUND, RANDOM, SCALED = "free", "found", "random", "scaled"
COLOURS = {FOUND: "blue", RANDOM: "muted", SCALED: "teal", FREE: "orange"}
HEAD = ("target ms", "network", "rows", "hold", "measured ms", "accuracy %", "from", "to")
GAIN_HEAD = ("target ms", "found less", "seeds", "points", "95 %", "p", "seeds ahead", "beaten")
ALL_HEAD = (
    "network", "seed", "target ms", "predicted ms", "measured ms", "off %", "channels",
    "accuracy %", "front",
)  # fmt: skip


def holds(row: study.Row) -> bool:
    """Whether the measured time is within 5 % of the target."""
    return abs(row["measured_ms"] / row["target_ms"] - 1) <= TOLERANCE


def front(rows: Sequence[study.Row]) -> list[bool]:
    """Whether no other row is measured to be as fast and is more accurate, or faster and equal."""
    beats = lambda a, b: (
        a["measured_ms"] <= b["measured_ms"]
        and a["top1"] >= b["top1"]
        and (a["measured_ms"], a["top1"]) != (b["measured_ms"], b["top1"])
    )
    return [not any(beats(other, row) for other in rows) for row in rows]


def summary(rows: Sequence[study.Row]) -> table.TextTable:
    """A line a target and kind of network: times and accuracies over seeds and networks."""
    lines = []
    keys = dict.fromkeys((row["target_ms"], row["kind"]) for row in rows)
    for ms, kind in sorted(keys, key=lambda key: (key[0] is None, key[0] or 0)):
        own = [row for row in rows if (row["target_ms"], row["kind"]) == (ms, kind)]
        accuracies = [100 * row["top1"] for row in own]
        held = "–" if ms is None else f"{sum(map(holds, own))} of {len(own)}"
        times = study.spread([row["measured_ms"] for row in own], 3)
        lines.append(
            ("–" if ms is None else f"{ms:g}", kind, str(len(own)), held, times)
            + (study.spread(accuracies, 2), f"{min(accuracies):.2f}", f"{max(accuracies):.2f}")
        )
    return table.TextTable(HEAD, lines)


def gains(rows: Sequence[study.Row]) -> table.TextTable:
    """What a search gained over the other networks of its target and seed, by Student's paired t.

    Of the random networks those that hold the target count, by their mean; `beaten` are those of
    them that are less accurate than what was found. The last lines are of all targets together.
    """
    targets = list(dict.fromkeys(row["target_ms"] for row in rows if row["kind"] == FOUND))
    groups = [(f"{ms:g}", [row for row in rows if row["target_ms"] == ms]) for ms in targets]
    groups += [("all", list(rows))] if len(targets) > 1 else []
    kinds = [kind for kind in (RANDOM, SCALED) if any(row["kind"] == kind for row in rows)]
    return table.TextTable(
        GAIN_HEAD, [_gain(label, kind, group) for label, group in groups for kind in kinds]
    )


def _gain(label: str, kind: str, rows: Sequence[study.Row]) -> tuple[str, ...]:
    differences, beaten, others = [], 0, 0
    for row in rows:
        beside = [r for r in rows if (r["seed"], r["target_ms"]) == (row["seed"], row["target_ms"])]
        theirs = [
            other["top1"]
            for other in beside
            if other["kind"] == kind and (kind != RANDOM or holds(other))
        ]
        if row["kind"] == FOUND and theirs:
            differences.append(100 * (row["top1"] - statistics.mean(theirs)))
            beaten += sum(row["top1"] > accuracy for accuracy in theirs)
            others += len(theirs)
    ahead = f"{sum(d > 0 for d in differences)} of {len(differences)}"
    line = (label, kind, str(len(differences)))
    if len(differences) < 2:
        points = f"{differences[0]:+.2f}" if differences else "–"
        return (*line, points, "–", "–", ahead, f"{beaten} of {others}")
    tested = scipy.stats.ttest_1samp(differences, 0.0)
    low, high = tested.confidence_interval(0.95)
    interval = f"{low:+.2f} to {high:+.2f}"
    mean = f"{np.mean(differences):+.2f}"
    return (*line, mean, interval, f"{tested.pvalue:.3f}", ahead, f"{beaten} of {others}")


def write(folder: Path, rows: Sequence[study.Row], again: str) -> list[str]:
    """Writes targets.md, pareto.svg and pareto.png into a folder; gives the lines to print."""
    found = [row for row in rows if row["kind"] == FOUND]
    held = sum(map(holds, found))
    line = f"{held} of {len(found)} searches hold their target within {TOLERANCE:.0%}, measured."
    parts = [summary(rows), gains(rows), _all(rows)]
    tables = "\n".join(table.markdown(part) for part in parts)
    run.write_text(
        folder / "targets.md",
        f"# Networks for targets\n\n{line}\n\n{tables}\n![](pareto.svg)\n\n```text\n{again}\n```\n",
    )
    _picture(folder, rows)
    texts = [text for part in parts for text in table.text(part).splitlines()]
    return [*texts, line, f"report: {folder / 'targets.md'}"]


def _all(rows: Sequence[study.Row]) -> table.TextTable:
    number = lambda value: "–" if value is None else f"{value:.4g}"
    lines = []
    for row, best in zip(rows, front(rows), strict=True):
        ms, target = row["measured_ms"], row["target_ms"]
        off = "–" if target is None else f"{100 * (ms / target - 1):+.1f}"
        lines.append(
            (row["method"], str(row["seed"]), number(target), number(row.get("predicted_ms")))
            + (number(ms), off, str(row["features"]), f"{100 * row['top1']:.2f}")
            + ("yes" if best else "",)
        )
    return table.TextTable(ALL_HEAD, lines)


def _picture(folder: Path, rows: Sequence[study.Row]) -> None:
    with figures.figure(560, 380) as fig:
        axes = fig.add_axes((0.12, 0.14, 0.84, 0.76))
        for kind in (RANDOM, SCALED, FREE, FOUND):
            points = [row for row in rows if row["kind"] == kind]
            if points:
                xy = [r["measured_ms"] for r in points], [100 * r["top1"] for r in points]
                axes.plot(*xy, "o", color=figures.LIGHT[COLOURS[kind]], label=kind)
        best = sorted(
            (row["measured_ms"], 100 * row["top1"])
            for row, is_best in zip(rows, front(rows), strict=True)
            if is_best
        )
        axes.step(*zip(*best, strict=True), where="post", color=figures.LIGHT["muted"], linewidth=1)
        axes.set_xlabel("milliseconds, measured in one run")
        axes.set_ylabel("accuracy after training, %")
        axes.legend(fontsize=8)
        axes.grid()
        picture = figures.svg(fig, "Accuracy against milliseconds of networks for targets")
        figures.save_png(fig, folder / "pareto.png")
    figures.save_text(picture, folder / "pareto.svg")
