"""Searches networks for several targets in milliseconds, beside random and scaled networks.

python -m experiments.targets --latency latency/mine --targets-ms 2 3 4 --random 3

A row a network: for each target and seed the one that was searched for it, `--random` random ones
that are predicted to meet it as closely, and one network, by default that of a search without a
target, as wide as the target allows. All are trained alike, and timed on the device in one run in
the end. Rows that are there are not run again, and one that was stopped goes on where it was
saved. Figures that were measured: docs/results.md.
"""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich.console

from experiments import targets_baselines, targets_report, targets_setup
from experiments.targets_report import FOUND, FREE, RANDOM, SCALED
from experiments.targets_setup import NONE, Settings, StudyTask, search_settings
from jaxnas import run
from jaxnas.hardware.measure import dataset
from jaxnas.pipelines import (
    command_line,
    constraints,
    retrain,
    search,
    search_stages,
    study,
)
from jaxnas.pipelines.settings import (
    RunSettings,
    flags,
    flat,
)
from jaxnas.run import progress
from jaxnas.spaces import dataflow
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Genotype

PROGRAM = "experiments.targets"
TIMES = "times"


class PlannedRow(NamedTuple):
    """What a row is of."""

    kind: str  # FREE, FOUND, RANDOM or SCALED
    target_ms: float | None = None
    number: int = 0  # of a random network


def main(settings: Settings, console: rich.console.Console | None = None) -> Path:
    """The whole sweep, from wherever it was left; gives its folder.

    Raises ValueError for settings that are impossible or have no effect, before anything is run,
    and what `search.main` and `constraints.time_genotypes` raise.
    """
    console = console or rich.console.Console()
    task = targets_setup.resolve(settings, console)
    shared = {"latency": task.campaign.digest} | {
        name: value
        for name, value in flat(settings).items()
        if name not in ("latency", "data_dir", "targets_ms", "seeds", "random", "table", "out")
    }
    say = lambda line: progress.print_line(console, line)
    with run.claim(task.folder, run.record(shared, run.execution(1), task.images.digest), say):
        plan = _plan(settings)
        make = lambda name, seed: _row(task, name, plan[name], seed)
        rows = study.complete(task.folder, list(plan), settings.seeds, make, _line, console)
        rows = [row for row in rows if row["method"] in plan and row["seed"] in settings.seeds]
        again = flags.command(f"python -m {PROGRAM}", settings, Settings())
        rows = [row | {"truth": _truth(task, row)} for row in _timed(task, rows)]
        for line in targets_report.write(task.folder, rows, _all_near(task), again):
            say(line)
    return task.folder


def _plan(settings: Settings) -> dict[str, PlannedRow]:
    """The rows of a seed by name, in order: a scaled network needs that of no target."""
    plan = {FREE: PlannedRow(FREE)} if settings.scaled == FREE else {}
    plan |= {f"{ms:g} ms": PlannedRow(FOUND, ms) for ms in settings.targets_ms}
    for number in range(settings.random):
        for ms in settings.targets_ms:
            plan[f"{RANDOM} {ms:g} ms, {number}"] = PlannedRow(RANDOM, ms, number)
    if settings.scaled != NONE:
        plan |= {f"{SCALED} {ms:g} ms": PlannedRow(SCALED, ms) for ms in settings.targets_ms}
    return plan


def _row(task: StudyTask, name: str, planned: PlannedRow, seed: int) -> study.Row:
    """Runs a row to its end, or what is left of it."""
    began = time.monotonic()
    kind, ms, number = planned
    row = {"method": name, "seed": seed, "kind": kind, "target_ms": ms}
    row["features"] = task.campaign.size.features
    place = task.folder / f"{name.replace(',', '').replace(' ', '-')}-seed{seed}"
    if kind == FREE or (kind == FOUND and not task.settings.once):
        row |= _searched(task, ms, seed, place)
    elif kind == FOUND:
        row |= _selected(task, ms, seed, place)
    else:
        if kind == SCALED:
            genotype = task.to_scale or _free(task, seed)
            where = task.folder / f"widths-{'given' if task.to_scale else f'seed{seed}'}"
            times = targets_baselines.time_widths(task.campaign, genotype, where, task.console)
            row["features"] = targets_baselines.widest(times, ms)
        else:
            space, count = task.campaign.space, task.settings.random
            drawn = targets_baselines.draw(space, task.limits[ms], count, seed)
            genotype = space.genome.decode(drawn[number])
        row |= {"genotype": genotypes.compact(genotype)}
        row["top1"] = _judged(task, genotype, row["features"], seed, place)
    return row | {"wall_s": round(time.monotonic() - began, 2)}


def _judged(task: StudyTask, genotype: Genotype, features: int, seed: int, place: Path) -> float:
    """Test accuracy of a network, trained as those of the searches are, or of the table."""
    if task.settings.judge == "table":
        return task.truth(dataflow.remove_dead_edges(genotype)) / 100
    recipe = dataclasses.replace(task.recipe, features=features)
    trained = retrain.TrainingTask(task.campaign.space, genotype, recipe, seed, task.images)
    at = RunSettings()
    result = retrain.train(
        trained, place, title=place.name, place=at, console=task.console, timed=False
    )
    return result["top1"]


def _searched(task: StudyTask, ms: float | None, seed: int, place: Path) -> study.Row:
    """What a search came to; with a target also how it was confirmed then."""
    target = {} if ms is None else {"target_ms": ms, "latency": task.settings.latency}
    target |= {} if ms is None else {"any_device": not task.settings.confirm}
    at = RunSettings(out=str(place.parent), name=place.name)
    done = search.main(
        search_settings(task.settings, task.campaign, seed, place=at, **target), task.console
    )
    summary = json.loads((done / search.SUMMARY).read_text(encoding="utf-8"))
    text = (done / search.GENOTYPE).read_text(encoding="utf-8")
    row = {"genotype": genotypes.compact(genotypes.from_json(text))}
    row |= {"top1": summary["found"]["top1"], "search_s": round(study.steps_s(done), 2)}
    if ms is None:
        return row
    return row | _as_selected(summary["target"])


def _selected(task: StudyTask, ms: float, seed: int, place: Path) -> study.Row:
    """What is selected for a target after a search of no target, which is run or read again."""
    settings = task.settings
    at = RunSettings(out=str(task.folder), name=f"search-seed{seed}")
    planned = search.resolve(search_settings(settings, task.campaign, seed, place=at), task.console)
    augment = retrain.augment(task.images, task.recipe.pad, task.recipe.flip, 0)
    say = lambda line: progress.print_line(task.console, line)
    with run.claim(planned.job.folder, planned.job.record, say) as folder:
        result = search_stages.search(planned.search, augment, planned.job._replace(folder=folder))
    targeted = dataclasses.replace(
        planned.search.settings, target_ms=ms, latency=settings.latency,
        any_device=not settings.confirm,
    )  # fmt: skip
    place.mkdir(parents=True, exist_ok=True)
    genotype = constraints.select(
        constraints.Predictors(task.campaign, dataset.fit_predictor(task.campaign)),
        planned.search._replace(settings=targeted, constraints=[task.limits[ms]]),
        result,
        planned.job._replace(folder=place),
    )
    top1 = _judged(task, genotype, task.campaign.size.features, seed, place / "retrain")
    row = {"genotype": genotypes.compact(genotype), "top1": top1}
    row["search_s"] = round(study.steps_s(folder), 2)  # of the search of all targets
    return row | _as_selected(constraints.read(place))


def _as_selected(record: Mapping[str, Any]) -> study.Row:
    found = record["targets"]["ms"]
    return {
        "predicted_ms": found["predicted"], "interval_ms": found["interval"],
        "confirmed_ms": found.get("measured"),
    }  # fmt: skip


def _free(task: StudyTask, seed: int) -> Genotype:
    """The network of the search without a target."""
    (text,) = [
        row["genotype"]
        for row in study.rows(task.folder)
        if (row["method"], row["seed"]) == (FREE, seed)
    ]
    return genotypes.from_json(text)


def _timed(task: StudyTask, rows: Sequence[study.Row]) -> list[study.Row]:
    """The rows with `measured_ms`, all of one run, which a later report reads again."""
    networks = [genotypes.from_json(row["genotype"]) for row in rows]
    sizes = [task.campaign.size._replace(features=row["features"]) for row in rows]
    known = json.dumps([[row["genotype"], row["features"]] for row in rows])
    digest = hashlib.sha256(known.encode()).hexdigest()[:8]
    where = task.folder / f"{TIMES}-{digest}"
    times = targets_baselines.time_all(task.campaign, networks, where, task.console, sizes)
    return [row | {"measured_ms": ms} for row, ms in zip(rows, times, strict=True)]


def _truth(task: StudyTask, row: study.Row) -> float | None:
    """The true accuracy in % of a network; None without a table and for other widths."""
    if task.truth is None or row["kind"] == SCALED:
        return None
    return task.truth(dataflow.remove_dead_edges(genotypes.from_json(row["genotype"])))


def _all_near(task: StudyTask) -> dict[float, list[float]]:
    """By target: true accuracies of all networks predicted to be within 5 % below it."""
    if task.truth is None:
        return {}
    space = task.campaign.space
    networks = {ms: targets_baselines.near(space, limit) for ms, limit in task.limits.items()}
    return {ms: [task.truth(space.genome.decode(g)) for g in of] for ms, of in networks.items()}


def _line(row: study.Row) -> str:
    return f"{100 * row['top1']:.2f} %"


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    return command_line.run(main, Settings(), PROGRAM, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    sys.exit(cli())
