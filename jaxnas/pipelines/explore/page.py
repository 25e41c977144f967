"""The end of an exploration: its front as records, lines and a page, beside random designs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnas.pipelines.explore import problem
from jaxnas.pipelines.explore.problem import Exploration
from jaxnas.pipelines.settings.explore import ExploreSettings
from jaxnas.report import evaluations, html_page, table
from jaxnas.spaces import genotype as genotype_text
from jaxnas.strategies import goals as goal_words
from jaxnas.strategies.loop import Outcome

PAGE = "report.html"
MAX_LINES = 20  # of the front that are printed
MAX_VARIABLES = 30  # of a picture of parallel coordinates


def entry(exploration: Exploration, outcome: Outcome, row: int) -> dict[str, Any]:
    """A design as JSON: its row, figures, network and recipe."""
    design = exploration.designs.decode(outcome.designs[row])
    genotype = problem.network(design)
    recipe = {problem.RECIPE: design[problem.RECIPE]} if genotype is not design else {}
    return {
        "design": outcome.designs[row].tolist(),
        "figures": dict(outcome.results[row].figures or {}),
        "genotype": genotype_text.compact(genotype),
        **recipe,
    }


def comparison(exploration: Exploration, found: Outcome, baseline: Outcome) -> dict[str, Any]:
    """Found against as many random designs: the best value, or the hypervolume of the fronts.

    Hypervolumes are shares of that of both fronts together, down to the worst value of any.
    """
    goals = exploration.goals
    objectives = [goal for goal in goals if goal.sign]
    record: dict[str, Any] = {"evaluations": len(baseline.results)}
    if len(objectives) == 1:
        column = goals.index(objectives[0])
        for name, outcome in (("found", found), ("random", baseline)):
            rows = goal_words.front(goals, outcome.values)
            record[name] = float(outcome.values[rows[0], column]) if len(rows) else None
        return record | {"figure": objectives[0].figure}
    both = np.concatenate([found.values, baseline.values])
    scores = goal_words.scores(goals, both[~np.isnan(both).any(1)])
    if not len(scores):
        return record | {"figure": "hypervolume", "found": None, "random": None}
    reference = scores.min(0)
    whole = goal_words.hypervolume(goals, both, reference) or 1.0
    shares = [
        goal_words.hypervolume(goals, values, reference) / whole
        for values in (found.values, baseline.values)
    ]
    return record | {"figure": "hypervolume", "found": shares[0], "random": shares[1]}


def comparison_text(exploration: Exploration, record: Mapping[str, Any]) -> str:
    """`comparison` as a line."""
    number = lambda value: "none keeps the limits" if value is None else f"{value:.4g}"
    what = {"hypervolume": "share of both fronts' hypervolume"}.get(
        record["figure"], f"best {record['figure']}"
    )
    return (
        f"against random   {what} {number(record['found'])}, of {record['evaluations']} random "
        f"designs {number(record['random'])}"
    )


def lines(exploration: Exploration, entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The front as a table of plain lines, the best of a single goal first."""
    shown = entries[:MAX_LINES]
    left_out = len(entries) - len(shown)
    found = table.text(_table(exploration, shown)).splitlines()
    return [*found, f"and {left_out} more, in front.json"] if left_out else found


def write(
    folder: Path,
    settings: ExploreSettings,
    exploration: Exploration,
    outcome: Outcome,
    baseline: Outcome | None,
    summary: Mapping[str, Any],
) -> Path:
    """Writes the page and its pictures; returns its path. Raises OSError."""
    outcomes = {settings.strategy: outcome}
    if baseline is not None and settings.strategy != "random":
        outcomes["random"] = baseline
    sections = {}
    if summary["front"]:
        caption = "Designs that keep all limits and that no other is better than in every goal."
        sections["Front"] = table.html(_table(exploration, summary["front"]), caption)
    pictures = _pictures(exploration, outcomes, folder)
    sections["Over evaluations"] = "".join(pictures)
    if baseline is not None:
        text = comparison_text(exploration, summary["random"])
        sections["Against random"] = f"<p>{html_page.escape(text)}</p>"
    commands = "".join(
        f'<p>{heading}</p><pre tabindex="0"><code>{html_page.escape(summary[key])}</code></pre>'
        for key, heading in (("command", "The same again:"), ("resume", "Go on with this folder:"))
    )
    sections["How to reproduce"] = commands
    chips = {
        "strategy": settings.strategy, "space": settings.space, "evaluated by": settings.evaluate,
        "goals": ", ".join(summary["goals"]), "evaluations": str(summary["evaluations"]),
        "failed": str(summary["failures"]), "seed": str(settings.seed),
    }  # fmt: skip
    return html_page.write(folder / PAGE, "Exploration", folder.name, chips, sections)


def _table(exploration: Exploration, entries: Sequence[Mapping[str, Any]]) -> table.TextTable:
    figures = list(exploration.evaluator.maximise)
    variables = exploration.designs.variables
    recipe = [v.name for v in variables if v.name.startswith(f"{problem.RECIPE}.")]
    values = lambda e: [str(e[problem.RECIPE][name.partition(".")[2]]) for name in recipe]
    rows = [
        (
            _label(exploration, e),
            *(f"{e['figures'][figure]:.6g}" for figure in figures),
            *values(e),
        )
        for e in entries
    ]
    return table.TextTable(("network", *figures, *recipe), rows)


def _label(exploration: Exploration, record: Mapping[str, Any]) -> str:
    """A short name of a network: the space's own label, or its row of numbers."""
    label = exploration.space.label
    if label is not None:
        return label(genotype_text.from_json(record["genotype"]))
    return " ".join(map(str, record["design"]))


def _pictures(exploration: Exploration, outcomes: Mapping[str, Outcome], folder: Path) -> list[str]:
    goals = exploration.goals
    objectives = [(column, goal) for column, goal in enumerate(goals) if goal.sign]
    pictures = []
    for column, goal in objectives:
        curves = {}
        for name, outcome in outcomes.items():
            values = outcome.values[:, column].copy()
            broken = ~(goal_words.violation(goals, outcome.values) == 0)
            values[broken] = np.nan  # what breaks a limit is no best
            curves[name] = values
        stem = f"best_{goal.figure}"
        picture = evaluations.best_so_far(goal.figure, curves, goal.sign > 0, folder, stem)
        pictures.append(html_page.figure(picture, stem))
    if len(objectives) >= 2:
        columns = [column for column, _ in objectives[:2]][::-1]
        names = tuple(goals[column].figure for column in columns)
        points = {name: outcome.values[:, columns] for name, outcome in outcomes.items()}
        rows = {name: goal_words.front(goals, o.values) for name, o in outcomes.items()}
        picture = evaluations.fronts(names, points, rows, folder, "front")
        pictures.append(html_page.figure(picture, "front"))
    first = next(iter(outcomes.values()))
    variables = exploration.designs.variables
    if len(variables) <= MAX_VARIABLES and len(first.designs):
        place = np.empty(len(first.designs))
        place[goal_words.order(goals, first.values)] = -np.arange(len(first.designs))
        labels = [[str(value) for value in v.values] for v in variables]
        picture = evaluations.parallel_coordinates(
            [v.name for v in variables], labels, first.designs, place, folder, "designs"
        )
        pictures.append(html_page.figure(picture, "designs", wide=True))
    return pictures
