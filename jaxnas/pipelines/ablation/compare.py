"""`jaxnas compare`: one page and one table of many runs, with their statistics."""

import json
from collections.abc import Sequence
from pathlib import Path

import rich.console

from jaxnas.pipelines import study
from jaxnas.pipelines.ablation import comparable, comparison, finished_run, tidy_table
from jaxnas.pipelines.settings.ablation import CompareSettings
from jaxnas.pipelines.settings.limits import fail
from jaxnas.report import html_page, table
from jaxnas.run import files, progress

STEM = "compare"


def main(settings: CompareSettings, console: rich.console.Console | None = None) -> Path:
    """Writes compare.html and compare.csv, prints the tables; returns the page.

    Raises ValueError for runs that are not finished or not comparable, before anything is written.
    """
    console = console or rich.console.Console()
    folders = _run_folders(settings.runs)
    runs = [finished_run.read(folder) for folder in folders]
    comparable.check(runs)
    groups = comparable.grouped(runs)
    made = comparison.of_groups(groups, settings.by, settings.baseline)
    out = Path(settings.out).expanduser()
    with files.as_run_error(out):
        out.mkdir(parents=True, exist_ok=True)
    names = ["method", *comparable.differing([finished.settings for finished in runs])]
    label_of = {id(r): label for label, of_group in groups.items() for r in of_group}
    lines = [tidy_table.line(label_of[id(r)], r, dict.fromkeys(names)) for r in runs]
    tables = tidy_table.write(lines, out, STEM)
    facts = {"runs": str(len(runs)), "space": comparable.space(runs[0])[0]}
    facts["data"] = str(runs[0].settings.get("data"))
    methods = [str(finished.settings.get("method", "training")) for finished in runs]
    page = html_page.write(
        out / f"{STEM}.html", "Comparison", " · ".join(dict.fromkeys(methods)), facts,
        comparison.sections(made, out, STEM) | {"Runs": _runs_table(groups)},
    )  # fmt: skip
    for text in comparison.text(made):
        progress.print_line(console, text)
    progress.print_line(console, f"table: {', '.join(map(str, tables))}")
    progress.print_line(console, f"report: {page}")
    return page


def _run_folders(words: Sequence[str]) -> list[Path]:
    """The folders of runs; an ablation's folder stands for all its finished runs."""
    folders: list[Path] = []
    for folder in (Path(word).expanduser() for word in words):
        if (folder / study.ROWS).exists():
            done = [row for row in study.rows(folder) if row.get("folder")]
            folders += [folder / row["folder"] for row in done if row["status"] == tidy_table.DONE]
        else:
            folders.append(folder)
    resolved = [folder.resolve() for folder in folders]
    twice = [f for n, f in zip(resolved, folders, strict=True) if resolved.count(n) > 1]
    if twice:
        fail(f"{twice[0]} is named twice: give each run once.")
    if len(folders) < 2:
        fail("A comparison takes two runs or more: give their folders.")
    return folders


def _runs_table(groups: comparable.Groups) -> str:
    lines = [
        [
            str(finished.folder), label, str(finished.seed),
            " ".join(f"{value:.2f}" for value in finished.accuracies),
            (finished.fingerprint or "–")[:12],
            str(finished.environment.get("commit") or "–")[:12],
            json.dumps((finished.environment.get("device") or {}).get("kind")),
        ]
        for label, of_group in groups.items()
        for finished in of_group
    ]  # fmt: skip
    head = ("run", "name", "seed", "test %", "fingerprint", "commit", "device")
    return table.html(table.TextTable(head, lines), "A line a run; several accuracies: trainings")
