"""The page of an ablation: statistics of each data set and space, failures, the plan."""

from collections.abc import Sequence
from pathlib import Path

from jaxnas.pipelines import study
from jaxnas.pipelines.ablation import comparable, comparison, finished_run, tidy_table
from jaxnas.pipelines.ablation.ablation_file import AblationFile
from jaxnas.pipelines.ablation.finished_run import FinishedRun
from jaxnas.report import html_page, table

PAGE = "report.html"


def write(file: AblationFile, folder: Path, rows: Sequence[study.Row]) -> list[str]:
    """Writes report.html with its pictures; returns what it says, in lines of text."""
    done = [row for row in rows if row["status"] == tidy_table.DONE]
    sections, lines = {}, []
    for number, (title, groups) in enumerate(_groups(folder, done).items()):
        baseline = file.baseline if file.baseline in groups else None
        made = comparison.of_groups(groups, file.by, baseline)
        sections |= comparison.sections(made, folder, f"comparison-{number}", title)
        lines += ["", *comparison.text(made, title)]
    failed = [row for row in rows if row["status"] == tidy_table.FAILED]
    if failed:
        cells = [[row["method"], str(row["seed"]), row["reason"]] for row in failed]
        shown = table.TextTable(("row", "seed", "reason"), cells)
        sections["Failed rows"] = table.html(shown, "They are in no figure of this page")
    text = html_page.escape(file.text)
    sections["The file"] = f'<pre tabindex="0"><code>{text}</code></pre>'
    facts = {"rows": str(len(rows)), "failed": str(len(failed)), "seeds": str(len(file.seeds))}
    page = html_page.write(folder / PAGE, "Ablation", file.path.stem, facts, sections)
    return [*lines, "", f"report: {page}"]


def _groups(folder: Path, rows: Sequence[study.Row]) -> dict[str, comparable.Groups]:
    """Runs by data and space, then by name: accuracies on different images say nothing of
    each other."""
    parts: dict[tuple, dict[str, list[FinishedRun]]] = {}
    for row in rows:
        finished = finished_run.read(folder / row["folder"])
        part = parts.setdefault((finished.data, *comparable.space(finished)), {})
        part.setdefault(row["method"], []).append(finished)
    named: dict[str, comparable.Groups] = {}
    for number, groups in enumerate(parts.values(), 1):
        first = next(iter(groups.values()))[0]
        title = f"{comparable.data(first)}, {comparable.space(first)[0]}"
        # Files of one name may hold different images.
        named[title if title not in named else f"{title} ({number})"] = groups
    return named if len(named) != 1 else dict(zip([""], named.values(), strict=True))
