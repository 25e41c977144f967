"""`jaxnas ablate`: all rows of an ablation, one run after another, and their statistics."""

import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich.console

from jaxnas import run
from jaxnas.pipelines import command_line, constraints, search, study
from jaxnas.pipelines.ablation import (
    ablation_file,
    ablation_report,
    finished_run,
    forecast,
    plan,
    tidy_table,
    trial,
)
from jaxnas.pipelines.ablation.ablation_file import AblationFile
from jaxnas.pipelines.ablation.plan import PlannedRow
from jaxnas.pipelines.settings.ablation import AblateSettings
from jaxnas.report import table
from jaxnas.report.statistics import sample
from jaxnas.run import progress

COPY, STEM, FAILURE = "ablation.toml", "table", "failure.txt"


class Ablation(NamedTuple):
    """A file with its rows and its folder."""

    file: AblationFile
    rows: Sequence[PlannedRow]
    folder: Path
    console: rich.console.Console


def main(settings: AblateSettings, console: rich.console.Console | None = None) -> Path:
    """Runs the command; returns the folder. Raises as `start`."""
    path = Path(settings.file).expanduser()
    folder = Path(settings.out).expanduser() if settings.out else Path("runs") / path.stem
    file = ablation_file.read(path)
    return start(file, folder, dry_run=settings.dry_run, retry=settings.retry, console=console)


def start(
    file: AblationFile,
    folder: Path,
    *,
    dry_run: bool = False,
    retry: bool = False,
    console: rich.console.Console | None = None,
) -> Path:
    """Runs all rows that are not in the folder, writes table and report there; returns it.

    `dry_run` only prints the plan; `retry` runs rows again that failed. Raises ValueError for a
    file that cannot be run, before any row is; the failure of a row is a row with a reason.
    """
    console = console or rich.console.Console()
    log = lambda text: progress.print_line(console, text)
    task = Ablation(file, plan.rows(file, folder), folder, console)
    _check(task)
    done = {(row["method"], row["seed"]): row for row in study.rows(folder)}
    _check_done(task, done)
    if dry_run:
        _print_plan(task, done)
        return folder
    with run.claim(folder, run.record({}, run.execution(1)), log):
        run.write_text(folder / COPY, file.text)
        failed = {key for key, row in done.items() if row["status"] == tidy_table.FAILED}
        if retry and failed:
            study.remove(folder, failed)
        by_key = {row.key: row for row in task.rows}
        make = lambda name, seed: _row(task, by_key[name, seed])
        names = list(dict.fromkeys(row.name for row in task.rows))
        rows = study.complete(
            folder, names, file.seeds, make, _line, console, lambda rows: _write_table(task, rows)
        )
        rows = [row for row in rows if (row["method"], row["seed"]) in by_key]
        tables = _write_table(task, rows)
        lines = ablation_report.write(file, folder, rows)
        if failures := sum(row["status"] == tidy_table.FAILED for row in rows):
            log(f"{failures} of {len(rows)} rows failed: {STEM}.csv has the reasons")
            log("the same command with --retry runs them again")
        for line in (f"table: {', '.join(map(str, tables))}", *lines):
            log(line)
    return folder


def _check(task: Ablation) -> None:
    """Raises ValueError if a row cannot be run: the first seed of each name stands for all."""
    seen = set()
    for row in task.rows:
        if row.name in seen:
            continue
        seen.add(row.name)
        # A target without a campaign is measured first, in minutes: by the row itself.
        if constraints.in_ms(row.settings) and row.settings.latency is None:
            continue
        try:
            resolved = search.resolve(row.settings, rich.console.Console(quiet=True))
        except ValueError as error:
            raise ValueError(f"{task.file.path}, {row.name}: {error}") from error
        if task.file.by == "truth" and resolved.truth is None:
            raise ValueError(
                f'{task.file.path}, {row.name}: by is "truth" but there is no table of true '
                "accuracies: give `table` in [settings] (docs/oracle.md)."
            )


def _check_done(task: Ablation, done: Mapping[tuple[str, int], study.Row]) -> None:
    """Raises RunError for a row that is there with other settings."""
    for row in task.rows:
        old = done.get(row.key)
        if old is None:
            continue
        now = _identity(task, row)
        if old["identity"] != now:
            raise run.RunError(
                f"{task.folder} has a row {row.name}, seed {row.seed}, of other settings "
                f"({old['identity']}; now {now}): use those, or another --out."
            )


def _identity(task: Ablation, row: PlannedRow) -> str:
    return f"{row.command}, trainings {task.file.trainings}"


def _print_plan(task: Ablation, done: Mapping[tuple[str, int], study.Row]) -> None:
    """The plan, with the time of a few steps, or of rows that are done where there are some."""
    log = lambda text: progress.print_line(task.console, text)
    lines, total_s = [], 0.0
    for name in dict.fromkeys(row.name for row in task.rows):
        rows = [row for row in task.rows if row.name == name]
        remaining = [row for row in rows if row.key not in done]
        line = [name, str(len(rows)), str(len(rows) - len(remaining))]
        try:
            cost = None
            if remaining:
                log(f"{name}: a few steps of search and training")
                cost = forecast.measure(remaining[0].settings, task.file.trainings, task.console)
        except (ValueError, FloatingPointError) as error:
            log(f"{name} FAILS: {error}")
        if cost is None:
            lines.append([*line, *["–"] * 4])
            continue
        known = [done[row.key].get("wall_s") for row in rows if row.key in done]
        row_s = sample.describe(known).mean if any(known) else cost.search_s + cost.retrain_s
        total_s += row_s * len(remaining)
        seconds = (cost.search_s, cost.retrain_s, row_s * len(remaining))
        lines.append([*line, *map(progress.duration, seconds), forecast.memory_text(cost)])
    head = ("row", "seeds", "done", "search", "trainings", "all that remain", "memory")
    for text in table.text(table.TextTable(head, lines)).splitlines():
        log(text)
    log(
        f"{len(task.rows)} rows into {task.folder}, {progress.duration(total_s)} for those that "
        "remain, compilation counted; later stages of a method, validation and selection are not."
    )


def _row(task: Ablation, planned: PlannedRow) -> study.Row:
    """Runs a row to its end, or what is left of it; a failure is a row, too."""
    place = planned.settings.place
    folder = Path(place.out) / place.name
    fresh, start = not folder.exists(), time.monotonic()
    row = {"method": planned.name, "seed": planned.seed, "identity": _identity(task, planned)}
    row["folder"] = str(folder.relative_to(task.folder))
    try:
        trial.run(planned.settings, task.file.trainings, task.console)
    except run.Interrupted:
        raise
    except Exception as error:  # whatever it is, the other rows are worth having
        reason = command_line.message(error) or f"{type(error).__name__}: {error}"
        row |= {"status": tidy_table.FAILED, "reason": " ".join(reason.split())}
        folder.mkdir(parents=True, exist_ok=True)
        run.write_text(folder / FAILURE, traceback.format_exc())
        line = {
            "name": planned.name, "seed": planned.seed, "status": tidy_table.FAILED,
            "reason": row["reason"], **planned.varied, "folder": str(folder),
        }  # fmt: skip
    else:
        (folder / FAILURE).unlink(missing_ok=True)
        row |= {"status": tidy_table.DONE, "reason": None}
        settings = list(dict.fromkeys(["method", *_columns(task)]))
        line = tidy_table.line(planned.name, finished_run.read(folder), settings)
    # Of the whole row; None where it was stopped between.
    row["wall_s"] = round(time.monotonic() - start, 2) if fresh else None
    return study.finite(row | {"line": line | {"wall_s": row["wall_s"]}})


def _columns(task: Ablation) -> list[str]:
    """The settings that the file has."""
    return list(dict.fromkeys(name for row in task.rows for name in row.varied))


def _line(row: study.Row) -> str:
    if row["status"] == tidy_table.FAILED:
        return f"FAILED: {row['reason']}"
    line = row["line"]
    random = line["random_accuracy"]
    beside = "" if random is None else f", random cells {random:.2f} %"
    seconds = line["search_s"] + line["retrain_s"]
    return f"{line['accuracy']:.2f} % test accuracy{beside}, {seconds:.1f} s of steps"


def _write_table(task: Ablation, rows: Sequence[Mapping[str, Any]]) -> list[Path]:
    done = sorted((row["line"] for row in rows), key=lambda line: line["status"])
    return tidy_table.write(done, task.folder, STEM)
