"""The comparison of groups of runs: a table of each group, paired tests, ranks, pictures."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxnas.pipelines.ablation import comparable
from jaxnas.pipelines.ablation.comparable import Groups
from jaxnas.pipelines.ablation.finished_run import FinishedRun
from jaxnas.report import formatting, html_page, strip_plot, table
from jaxnas.report.statistics import conclusion, critical_difference, paired, ranks, variance
from jaxnas.report.statistics.paired import Comparison, Scores
from jaxnas.report.statistics.ranks import Ranks
from jaxnas.report.statistics.sample import describe, finite, spread
from jaxnas.report.statistics.variance import VarianceComponents

METRICS = {
    "accuracy": "test accuracy after retraining, %",
    "truth": "true test accuracy by the table, %",
}
DASH = "–"


class GroupComparison(NamedTuple):
    """The statistics of groups; the highest mean comes first."""

    groups: Groups
    scores: Scores  # label -> seed -> score
    compared: Sequence[Comparison]
    ranked: Ranks | None
    variance: Mapping[str, VarianceComponents]  # of groups with several trainings of a cell
    metric: str


def of_groups(
    groups: Groups, metric: str = "accuracy", baseline: str | None = None
) -> GroupComparison:
    """Compares groups by a metric. Raises ValueError if a run lacks it, or for the baseline."""
    for run in (run for runs in groups.values() for run in runs):
        if run.figures[metric] is None:
            raise ValueError(
                f"{run.folder} has no {METRICS[metric]}: give its command the benchmark's --table, "
                "or compare by accuracy."
            )
    scores = {
        label: {run.seed: float(run.figures[metric]) for run in runs}
        for label, runs in groups.items()
    }
    mean = lambda label: statistics.fmean(scores[label].values())
    order = sorted(groups, key=lambda label: -mean(label))
    groups = {label: groups[label] for label in order}
    scores = {label: scores[label] for label in order}
    repeated = {
        label: variance.components([run.accuracies for run in runs])
        for label, runs in groups.items()
        if metric == "accuracy" and any(len(run.accuracies) > 1 for run in runs)
    }
    return GroupComparison(
        groups, scores, paired.comparisons(scores, baseline), ranks.ranks(scores), repeated, metric
    )


def sentences(made: GroupComparison) -> list[str]:
    """What the data show and do not show, and what makes them hard to compare."""
    lines = conclusion.sentences(made.scores, made.compared, made.variance)
    runs = [run for of_group in made.groups.values() for run in of_group]
    recipe = [
        name
        for name in comparable.differing([run.settings for run in runs])
        if name.startswith("retrain.")
    ]
    if recipe and made.metric == "accuracy":
        lines.append(
            f"The trainings are not alike: they differ in {', '.join(recipe)}, which moves "
            "accuracies without any search."
        )
    return lines


def summary_table(made: GroupComparison) -> table.TextTable:
    """A line a group."""
    lines = []
    for label, runs in made.groups.items():
        of = lambda name, runs=runs: [run.figures[name] for run in runs]
        sample = describe(list(made.scores[label].values()))
        interval = DASH
        if not math.isnan(sample.low):
            interval = f"{sample.low:.2f} to {sample.high:.2f}"
        holds = [value for value in of("holds") if value is not None]
        lines.append(
            [
                label, str(len(runs)), spread(list(made.scores[label].values()), 2), interval,
                spread(of("random_accuracy"), 2), spread(of("relative_improvement"), 1),
                _amount(of("parameters")), _amount(of("macs")), spread(of("latency_ms"), 3),
                f"{sum(holds)} of {len(holds)}" if holds else DASH, spread(of("search_s"), 1),
            ]
        )  # fmt: skip
    head = (
        "name", "seeds", "test %" if made.metric == "accuracy" else "true test %",
        "95 % interval of the mean", "random cells %", "over random %", "parameters", "MACs",
        "latency ms", "targets held", "search s",
    )  # fmt: skip
    return _without_empty_columns(table.TextTable(head, lines))


def pairs_table(made: GroupComparison) -> table.TextTable:
    """A line a pair of groups, the largest difference first."""
    lines = [
        [
            f"{c.first} less {c.second}", str(c.seeds), f"{c.difference:+.2f}",
            f"{c.low:+.2f} to {c.high:+.2f}", f"{c.p:.3f}", f"{c.p_holm:.3f}", f"{c.p_signs:.3f}",
            f"{c.ahead} of {c.seeds}",
        ]
        for c in sorted(made.compared, key=lambda c: -abs(c.difference))
    ]  # fmt: skip
    head = (
        "pair", "seeds", "points", "95 %", "p", "p (Holm)", "p of signs", "seeds ahead",
    )  # fmt: skip
    return table.TextTable(head, lines)


def variance_table(made: GroupComparison) -> table.TextTable:
    """A line a group whose cells were trained several times."""
    number = lambda value, digits=2: DASH if math.isnan(value) else f"{value:.{digits}f}"
    lines = [
        [
            label, str(v.cells), str(v.trainings), number(v.search_sd), number(v.evaluation_sd),
            number(100 * v.share, 0), number(v.p, 3),
        ]
        for label, v in made.variance.items()
    ]  # fmt: skip
    head = (
        "name", "cells", "trainings", "sd of the search", "sd of training",
        "share of the search %", "p: all cells equal",
    )  # fmt: skip
    return table.TextTable(head, lines)


def settings_table(runs: Sequence[FinishedRun], groups: Groups) -> table.TextTable:
    """The settings in which groups differ, a line each; a column a group."""
    names = comparable.differing([run.settings for run in runs])
    value = lambda run, name: comparable.value_text(run.settings.get(name))
    lines = [[name, *(value(of_group[0], name) for of_group in groups.values())] for name in names]
    return table.TextTable(("setting", *groups), lines)


def text(made: GroupComparison, title: str = "") -> list[str]:
    """The tables and sentences as plain lines."""
    lines = [title, ""] if title else []
    lines += table.text(summary_table(made)).splitlines()
    if made.compared:
        lines += ["", *table.text(pairs_table(made)).splitlines()]
    if made.variance:
        lines += ["", *table.text(variance_table(made)).splitlines()]
    return [*lines, "", *sentences(made)]


def sections(made: GroupComparison, folder: Path, stem: str, title: str = "") -> dict[str, str]:
    """The sections of a page, HTML by title; writes STEM-*.svg and .png into the folder."""
    label = METRICS[made.metric]
    start = f"{title}: " if title else ""
    named = lambda name: f"{start}{name}" if start else name[:1].upper() + name[1:]
    items = "".join(f"<p>{html_page.escape(line)}</p>" for line in sentences(made))
    parts = {named("what the data show"): items}
    parts[named("groups")] = table.html(
        summary_table(made),
        "Means ± standard deviations over seeds. Interval: bootstrap (BCa) of the mean. Over "
        "random: the relative improvement over random cells of the run, trained alike "
        "(arXiv:1912.12522).",
    )
    values = {label: list(of_seed.values()) for label, of_seed in made.scores.items()}
    if any(finite(of_group) for of_group in values.values()):
        dots = strip_plot.save(title or "Every run", values, folder, f"{stem}-runs", label=label)
        parts[named("every run")] = html_page.figure(dots, f"{stem}-runs", wide=True)
    if made.compared:
        parts[named("paired tests")] = table.html(
            pairs_table(made),
            "Over the seeds that both have. Interval and p: Student's paired t; Holm: corrected "
            "for all lines; p of signs: exact, without a law, at least 2 / 2^seeds.",
        )
    if made.ranked is not None:
        picture = critical_difference.save(made.ranked, folder, f"{stem}-ranks")
        caption = (
            f"Mean ranks over {made.ranked.blocks} seeds; Friedman's test that all are equal: "
            f"p = {made.ranked.p:.3f}. Names under one bar are not told apart by the Nemenyi test "
            "at 0.05 (Demšar 2006), which assumes no law and finds less than the paired tests."
        )
        parts[named("ranks")] = html_page.figure(picture, f"{stem}-ranks", caption, wide=True)
    if made.variance:
        parts[named("search and evaluation")] = table.html(
            variance_table(made),
            "One-way random effects: between cells of different seeds, and between trainings of "
            "one cell, in points.",
        )
    runs = [run for of_group in made.groups.values() for run in of_group]
    differences = settings_table(runs, made.groups)
    if differences.rows:
        parts[named("settings that differ")] = table.html(
            differences, "All others are the same in all runs."
        )
    return parts


def _amount(values: Sequence[float | None]) -> str:
    known = finite(values)
    if not known:
        return DASH
    return formatting.amount(statistics.fmean(known)).replace(formatting.SPACE, " ")


def _without_empty_columns(full: table.TextTable) -> table.TextTable:
    kept = [i for i in range(len(full.head)) if any(row[i] != DASH for row in full.rows)]
    pick = lambda row: [row[i] for i in kept]
    return table.TextTable(pick(full.head), [pick(row) for row in full.rows])
