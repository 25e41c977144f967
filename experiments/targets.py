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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich.console

from experiments import targets_baselines, targets_report
from experiments.targets_report import FOUND, FREE, RANDOM, SCALED
from jaxnas import data, run
from jaxnas.core.types import Constraint
from jaxnas.evaluators import tabular
from jaxnas.hardware import cost, device
from jaxnas.hardware.measure import dataset
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.methods import registry as methods
from jaxnas.pipelines import (
    command_line,
    constraints,
    retrain,
    search,
    search_stages,
    setup,
    study,
)
from jaxnas.pipelines import genotypes as named_genotypes
from jaxnas.pipelines.settings import (
    DataSettings,
    Recipe,
    RunSettings,
    SearchSettings,
    flags,
    flat,
)
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import dataflow
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Genotype

PROGRAM = "experiments.targets"
TIMES, NONE = "times", "none"


@dataclasses.dataclass(frozen=True)
class Settings:
    latency: str = ""
    """The folder of a campaign."""
    targets_ms: tuple[float, ...] = ()
    """Milliseconds, one search a seed each."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a row."""
    data: str = "digits"
    """The images, of the size that the campaign timed."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    limit: int | None = None
    """The first N training images and N // 5 test images."""
    image_size: int | None = None
    """Scales every image to this many pixels a side."""
    method: str = "gdas"
    """How it is searched."""
    set: tuple[str, ...] = ()
    """Settings of the method, as `name=value`."""
    epochs: int | None = None
    """Of the search."""
    features: int | None = None
    """Channels of the search network."""
    batch_size: int = 64
    """Images a step of the search, of either half."""
    retrain: Recipe = Recipe()
    """How every network is trained in the end; its size is that of the campaign."""
    once: bool = False
    """Search once a seed, without a target, and select for every target from its gates and shared
    weights; else once a target, whose milliseconds are then in the loss."""
    confirm: bool = True
    """Let each search measure its candidates, too; without, the model decides and only the run in
    the end measures."""
    random: int = 0
    """Random networks a target and seed that are predicted to be within 5 % below the target."""
    scaled: str = FREE
    """The network that is trained as wide as each target allows: a genotype or its file, or `free`:
    of a search without a target, or `none`."""
    table: str | None = None
    """A table of the space's networks (docs/oracle.md), for their true accuracies beside those of
    this study."""
    out: str = "runs/targets"
    """The study's folder."""


class PlannedRow(NamedTuple):
    """What a row is of."""

    kind: str  # FREE, FOUND, RANDOM or SCALED
    target_ms: float | None = None
    number: int = 0  # of a random network


class StudyTask(NamedTuple):
    """What all rows share."""

    settings: Settings
    campaign: CampaignDataset
    limits: Mapping[float, Constraint]  # by milliseconds
    to_scale: Genotype | None  # None: what the search without a target found
    truth: Callable[[Genotype], float] | None  # test accuracy in %; None: no table
    images: data.DataSet
    recipe: Recipe  # resolved, at the campaign's size
    folder: Path
    console: rich.console.Console


def main(settings: Settings, console: rich.console.Console | None = None) -> Path:
    """The whole sweep, from wherever it was left; gives its folder.

    Raises ValueError for settings that are impossible or have no effect, before anything is run,
    and what `search.main` and `constraints.time_genotypes` raise.
    """
    console = console or rich.console.Console()
    task = _resolve(settings, console)
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


def _resolve(settings: Settings, console: rich.console.Console) -> StudyTask:
    if not settings.targets_ms or len(set(settings.targets_ms)) < len(settings.targets_ms):
        fail("--targets-ms names one target or more, each once.")
    if not settings.seeds or len(set(settings.seeds)) < len(settings.seeds):
        fail(f"--seeds says {list(settings.seeds)}: give one or more, each once.")
    for ms in settings.targets_ms:
        require("--targets-ms", ms, above=0)
    require("--random", settings.random, minimum=0)
    campaign = dataset.load(Path(settings.latency))
    if campaign.settings.get("threads") is not None:
        # Before JAX opens its devices: rows without a target are timed as the campaign was, too.
        device.pin(campaign.settings["threads"])
    latency = cost.predicted(campaign.space, dataset.fit_predictor(campaign))
    limits = {ms: cost.check(Constraint(latency, ms)) for ms in settings.targets_ms}
    method = methods.get(settings.method)
    if "constraints" not in method.accepts or not methods.fits(method, campaign.space):
        name = campaign.space.name
        fail(f"--method {settings.method} searches {name} to no target: take another.")
    compilation_cache.enable()
    searched = _search(settings, campaign, settings.seeds[0])
    images = setup.load(searched.source, searched.train_fraction, searched.split_seed)
    shape = images.train.inputs.shape[1:]
    recipe = recipes.resolved(searched.retrain, campaign.space, shape, "retrain.")
    to_scale = None
    if settings.scaled not in (FREE, NONE):
        to_scale = named_genotypes.named(settings.scaled)[0]
    truth = _table(settings, campaign)
    folder = Path(settings.out).expanduser()
    return StudyTask(settings, campaign, limits, to_scale, truth, images, recipe, folder, console)


def _table(settings: Settings, campaign: CampaignDataset) -> Callable[[Genotype], float] | None:
    if settings.table is None:
        return None
    benchmark = tabular.of(campaign.space)
    table = benchmark.load(benchmark.locate(settings.table))
    return lambda genotype: next(iter(benchmark.query(table, genotype).sets.values())).test_200


def _search(
    settings: Settings, campaign: CampaignDataset, seed: int, **more: Any
) -> SearchSettings:
    """A search whose network is retrained at the size that the campaign timed."""
    predictors = constraints.Predictors(campaign, None)
    # A genotype of a space that its cells shape says them by itself, and they are the search's.
    searched = {"cells": campaign.size.cells} if campaign.space.shaped_by_cells else {}
    source = DataSettings(settings.data, settings.data_dir, settings.limit, settings.image_size)
    return SearchSettings(
        source=source,
        space=campaign.settings["space"],
        method=settings.method,
        set=settings.set,
        epochs=settings.epochs,
        features=settings.features,
        batch_size=settings.batch_size,
        seed=seed,
        random_cells=0,
        retrain=constraints.recipe(predictors, settings.retrain),
        **searched,
        **more,
    )


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
        row["top1"] = _trained(task, genotype, row["features"], seed, place)
    return row | {"wall_s": round(time.monotonic() - began, 2)}


def _trained(task: StudyTask, genotype: Genotype, features: int, seed: int, place: Path) -> float:
    """Test accuracy of a network that is trained as those of the searches are."""
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
        _search(task.settings, task.campaign, seed, place=at, **target), task.console
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
    planned = search.resolve(_search(settings, task.campaign, seed, place=at), task.console)
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
    top1 = _trained(task, genotype, task.campaign.size.features, seed, place / "retrain")
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
    times = constraints.time_genotypes(
        task.campaign, networks, task.folder / f"{TIMES}-{digest}", task.console, sizes=sizes
    )
    return [
        row | {"measured_ms": float(ms)} for row, ms in zip(rows, times.latency_ms, strict=True)
    ]


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
