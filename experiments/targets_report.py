"""The report of the study of targets: networks side by side, and what a search gained."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxnas import run
from jaxnas.pipelines import study
from jaxnas.report import figures, table
from jaxnas.report.statistics import differences, sample
from jaxnas.strategies.selection_record import TOLERANCE

FREE, FOUND, RANDOM, SCALED = "free", "found", "random", "scaled"
ALL = "(all near)"
COLOURS = {FOUND: "blue", RANDOM: "muted", SCALED: "teal", FREE: "orange"}
HEAD = ("target ms", "network", "rows", "hold", "measured ms", "accuracy %", "from", "to", "true %")
GAIN_HEAD = ("target ms", "found less", "seeds", "points", "95 %", "p", "seeds ahead", "beaten")
ALL_HEAD = (
    "network", "seed", "target ms", "predicted ms", "measured ms", "off %", "channels",
    "accuracy %", "true %", "front",
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


def summary(rows: Sequence[study.Row], near: Mapping[float, Sequence[float]]) -> table.TextTable:
    """A line a target and kind of network: times and accuracies over seeds and networks.

    `near`: by target, true accuracies in % of all networks that are predicted to meet it.
    """
    lines = []
    keys = dict.fromkeys((row["target_ms"], row["kind"]) for row in rows)
    for ms, kind in sorted(keys, key=lambda key: (key[0] is None, key[0] or 0)):
        own = [row for row in rows if (row["target_ms"], row["kind"]) == (ms, kind)]
        accuracies = [100 * row["top1"] for row in own]
        held = "–" if ms is None else f"{sum(map(holds, own))} of {len(own)}"
        times = sample.spread([row["measured_ms"] for row in own], 3)
        lines.append(
            ("–" if ms is None else f"{ms:g}", kind, str(len(own)), held, times)
            + (sample.spread(accuracies, 2), f"{min(accuracies):.2f}", f"{max(accuracies):.2f}")
            + (sample.spread([row["truth"] for row in own], 2),)
        )
    for ms, truths in near.items():
        lines.append((f"{ms:g}", ALL, str(len(truths)), *["–"] * 5, sample.spread(truths, 2)))
    return table.TextTable(HEAD, lines)


def gains(rows: Sequence[study.Row], near: Mapping[float, Sequence[float]]) -> table.TextTable:
    """What a search gained over the other networks of its target and seed, by Student's paired t.

    Of the random networks those that hold the target count, by their mean; `beaten` are those of
    them that are less accurate than what was found. The last lines are of all targets together.
    With `near`, as in `summary`, also true accuracies less the mean of all of these.
    """
    found = [row for row in rows if row["kind"] == FOUND]
    targets = list(dict.fromkeys(row["target_ms"] for row in found))
    groups = [(f"{ms:g}", [row for row in found if row["target_ms"] == ms]) for ms in targets]
    groups += [("all", found)] if len(targets) > 1 else []
    lines = []
    for label, group in groups:
        for kind in (RANDOM, SCALED):
            if any(row["kind"] == kind for row in rows):
                pairs = [(100 * row["top1"], _beside(row, kind, rows)) for row in group]
                lines.append((label, kind, *_gain(pairs)))
        if near:
            pairs = [(row["truth"], near[row["target_ms"]]) for row in group]
            lines.append((label, f"{ALL}, true", *_gain(pairs)))
    return table.TextTable(GAIN_HEAD, lines)


def _beside(row: study.Row, kind: str, rows: Sequence[study.Row]) -> list[float]:
    """Accuracies in % of the networks that a found one is compared with."""
    return [
        100 * other["top1"]
        for other in rows
        if (other["seed"], other["target_ms"], other["kind"])
        == (row["seed"], row["target_ms"], kind)
        and (kind != RANDOM or holds(other))
    ]


def _gain(pairs: Sequence[tuple[float, Sequence[float]]]) -> tuple[str, ...]:
    """The cells of a line: of each pair what was found, and what it is compared with."""
    pairs = [(ours, theirs) for ours, theirs in pairs if theirs]
    points = [ours - statistics.mean(theirs) for ours, theirs in pairs]
    beaten = sum(ours > other for ours, theirs in pairs for other in theirs)
    of = differences.of(points)
    mean, interval, p_value, ahead = differences.cells(of)
    total = sum(len(theirs) for _, theirs in pairs)
    return (str(of.count), mean, interval, p_value, ahead, f"{beaten} of {total}")


def write(
    folder: Path, rows: Sequence[study.Row], near: Mapping[float, Sequence[float]], again: str
) -> list[str]:
    """Writes targets.md, pareto.svg and pareto.png into a folder; gives the lines to print.

    `near`: as in `summary`; `again`: the command.
    """
    found = [row for row in rows if row["kind"] == FOUND]
    held = sum(map(holds, found))
    line = f"{held} of {len(found)} searches hold their target within {TOLERANCE:.0%}, measured."
    parts = [summary(rows, near), gains(rows, near), _all(rows)]
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
            + (number(row["truth"]), "yes" if best else "")
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
