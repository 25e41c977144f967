"""Ranks cells of NAS-Bench-201 by single-path supernets, against their true accuracies.

python -m experiments.ranking --data-dir TFDS --table nb201.npz --split split.npz
python -m experiments.ranking ... --zero-cost nb201_zerocost.csv.gz --sampling uniform fair
python -m experiments.ranking ... --image-size 32 --features 16 --cells 5 --epochs 250 --out full

A row a (sampling, seed): Kendall's tau of the loss and of the accuracy that the shared weights
give each cell, at a few points of the schedule; beside it what a count of parameters, 12 epochs of
training and training-free scores reach on the same cells, and what the loss adds to the count.
Rows that are there are not run again, and one that was stopped goes on where it was saved. Figures
that were measured: docs/results.md.
"""

import dataclasses
import functools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import rich.console

from experiments import nasbench201_halves, ranking_figures, ranking_report, ranking_targets
from experiments.ranking_figures import Sample
from jaxnas import data, run
from jaxnas.core.stages import Program, Selection, Stage
from jaxnas.core.types import Constraint
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators import supernet
from jaxnas.hardware.measure.dataset import CampaignDataset
from jaxnas.methods import entry, spos
from jaxnas.pipelines import command_line, evolution, retrain, search_stages, study
from jaxnas.pipelines.settings import Recipe, SearchSettings, flags
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.limits import fail, require
from jaxnas.pipelines.settings.search import Evolution
from jaxnas.report.statistics import sample
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import SearchSpace

PROGRAM = "experiments.ranking"
SPACE = "nasbench201"
SAMPLE_SEED = 0  # one sample for all rows, so that all are judged alike
SCORE_BATCH, EVOLVED = 250, "evolved.json"
FINGERPRINTED = (
    "pad", "features", "cells", "batch_size", "points", "sample", "images", "point_images"
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Settings:
    sampling: tuple[str, ...] = ("uniform",)
    """How a step's cell is drawn: `uniform`, `fair` (every candidate of an edge once in five)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a row."""
    data: str = "cifar10"
    """The images to train on; the truth is of CIFAR-10."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    table: str | None = None
    """The table of NAS-Bench-201 (docs/oracle.md); by default what JAXNAS_NASBENCH201 names."""
    split: str | None = None
    """A .npz with the benchmark's halves: `train` and `valid`, numbers of training images in
    their original order. Left out: the first half trains."""
    zero_cost: str | None = None
    """A .csv or .csv.gz of training-free scores: `index`, and columns that end with _c10."""
    limit: int | None = None
    """The first N images of each half."""
    image_size: int | None = 16
    """Scales every image to this many pixels a side."""
    pad: int = 1
    """Pixels by which training images are padded before the random crop; 0: none."""
    features: int = 8
    """Channels of the first cells."""
    cells: int = 1
    """Cells a stage."""
    epochs: int = 32
    """Passes over the training half."""
    warm_up: int = 2
    """Epochs in which the learning rate rises."""
    batch_size: int = 32
    """Images a step."""
    learning_rate: float = 0.1
    """At its highest; a half cosine falls to 0."""
    points: int = 4
    """How often, at equal distances, the cells are judged; the last time is the end."""
    sample: int = 300
    """How many cells are judged, the same for all rows."""
    images: int = 2000
    """Validation images for each cell at the end."""
    point_images: int = 500
    """Validation images for each cell before."""
    evaluations: int = 200
    """Cells of a search by evolution over the shared weights at the end, by loss on as many images
    as before the end; 0: none."""
    latency: str | None = None
    """The folder of a campaign of this space, for --targets-ms."""
    targets_ms: tuple[float, ...] = ()
    """Milliseconds: for each the best by loss of random networks within 5 % below is chosen at the
    end, on as many images as before it, and timed."""
    candidates: int = 100
    """How many random networks a target."""
    out: str = "runs/ranking"
    """The study's folder."""


class StudyTask(NamedTuple):
    """What all rows share."""

    settings: Settings
    space: SearchSpace
    dataset: data.DataSet
    augment: data.augment.Augment
    table: benchmark.TabularBenchmark
    cells: Sample
    campaign: CampaignDataset | None
    limits: Mapping[float, Constraint]
    execution: run.Execution
    folder: Path
    console: rich.console.Console


def main(settings: Settings, console: rich.console.Console | None = None) -> Path:
    """The whole study, from wherever it was left; gives its folder.

    Raises ValueError for settings that are impossible or have no effect, before anything is run,
    and what `search_stages.execute` raises.
    """
    console = console or rich.console.Console()
    say = lambda line: progress.print_line(console, line)
    task = _resolve(settings, console)
    names = settings.sampling
    keys = [(name, seed) for seed in settings.seeds for name in names]
    plan = {key: _planned(task, *key) for key in keys}
    shared = dataclasses.asdict(settings)
    for name in (
        "sampling", "seeds", "data", "data_dir", "table", "split", "limit", "out", "latency",
        "targets_ms", "candidates",
    ):  # fmt: skip
        del shared[name]
    shared["zero_cost"] = settings.zero_cost is not None
    with run.claim(task.folder, run.record(shared, task.execution, task.dataset.digest), say):
        make = lambda name, seed: _row(task, name, seed, plan[name, seed])
        report(task, study.complete(task.folder, names, settings.seeds, make, _line, console))
    return task.folder


def _resolve(settings: Settings, console: rich.console.Console) -> StudyTask:
    for flag, values in (("--sampling", settings.sampling), ("--seeds", settings.seeds)):
        if not values or len(set(values)) < len(values):
            fail(f"{flag} says {list(values)}: give one or more, each once.")
    for flag, value in (("--limit", settings.limit), ("--points", settings.points)):
        require(flag, value, minimum=1)
    require("--sample", settings.sample, minimum=2)
    require("--evaluations", settings.evaluations, minimum=0)
    for flag, value in (("--images", settings.images), ("--point-images", settings.point_images)):
        require(flag, value, minimum=1)
        if value > SCORE_BATCH and value % SCORE_BATCH:
            fail(f"{flag} is {value}: above {SCORE_BATCH} give a multiple of it.")
    if settings.point_images > settings.images or settings.images % _batch(settings):
        fail(f"--point-images is {settings.point_images}: give at most --images, or a part of it.")
    if settings.epochs % settings.points:
        fail(f"--points is {settings.points}: give a number that divides {settings.epochs} epochs.")
    space = registry.get(SPACE)
    searches.resolved(_search(settings, settings.sampling[0], settings.seeds[0]), space)
    truth = benchmark.load(benchmark.locate(settings.table))
    key = benchmark.SETS[ranking_figures.DATASET].key
    scores = benchmark.zero_cost.load(settings.zero_cost, key) if settings.zero_cost else {}
    cells = ranking_figures.sample(space, truth, settings.sample, SAMPLE_SEED, scores)
    campaign, limits = ranking_targets.limits(settings.latency, settings.targets_ms)
    require("--candidates", settings.candidates, minimum=1)
    compilation_cache.enable()
    whole = data.load(settings.data, data_dir=settings.data_dir, image_size=settings.image_size)
    dataset = nasbench201_halves.halves(whole, settings.split, settings.limit)
    recipe = recipes.resolved(Recipe(pad=settings.pad), space, dataset.train.inputs.shape[1:])
    steps = data.steps_per_epoch(len(dataset.train.labels), settings.batch_size)
    return StudyTask(
        settings,
        space,
        dataset,
        retrain.augment(dataset, recipe.pad, recipe.flip, 0),
        truth,
        cells,
        campaign,
        limits,
        # One program for many steps: a step is so small that calling it costs a sixth of it.
        run.execution(steps, "scan"),
        Path(settings.out).expanduser(),
        console,
    )


def _batch(settings: Settings) -> int:
    """Images a batch when cells are judged."""
    return min(settings.point_images, SCORE_BATCH)


def _search(settings: Settings, sampling: str, seed: int) -> SearchSettings:
    return SearchSettings(
        space=SPACE,
        method="spos",
        set=(f"sampling={sampling}", f"warm_up={settings.warm_up}", "min_learning_rate=0"),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        features=settings.features,
        cells=settings.cells,
        learning_rate=settings.learning_rate,
        seed=seed,
    )


def _planned(task: StudyTask, sampling: str, seed: int) -> search_stages.SearchTask:
    """The search of a row. Raises ValueError for impossible settings."""
    settings = searches.resolved(_search(task.settings, sampling, seed), task.space)
    scoring = supernet.Scoring(task.settings.images, _batch(task.settings))
    planned = search_stages.SearchTask(settings, task.space, task.dataset, scoring=scoring)
    search_stages.check(planned)
    return planned


def _row(task: StudyTask, name: str, seed: int, planned: search_stages.SearchTask) -> study.Row:
    """Runs a row to its end, or what is left of it."""
    settings = task.settings
    method = search_stages.method_settings(planned.settings)
    fingerprinted = {f"set.{k}": v for k, v in method.items()}
    for field in FINGERPRINTED:
        fingerprinted[field] = getattr(settings, field)
    record = run.record(fingerprinted | {"seed": seed}, task.execution, task.dataset.digest)
    say = lambda line: progress.print_line(task.console, line)
    with run.claim(task.folder / f"{name}-seed{seed}", record, say) as folder:
        fresh = not (folder / "metrics.jsonl").exists()
        began, used = time.monotonic(), time.process_time()
        job = run.Run(folder, record, task.execution, console=task.console)
        search_stages.execute(planned, _program(task, method, seed, folder), task.augment, job)
        spent = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - used}
        points = ranking_figures.points_of(folder, settings.points)
        evolved = ranking_figures.read(folder / EVOLVED)["code"] if settings.evaluations else None
        return study.finite(
            {
                "method": name,
                "seed": seed,
                **ranking_figures.figures(task.cells, points),
                "evolved": evolved and ranking_figures.entry(task.table, evolved),
                "targets": {
                    f"{ms:g}": ranking_targets.entry(
                        task.table, ranking_figures.read(_chosen_file(folder, ms))["code"]
                    )
                    for ms in settings.targets_ms
                },
                "search_s": round(study.steps_s(folder), 2),  # of all steps
                # Of the whole row, compiling and judging included; None where it was stopped.
                **{k: round(s, 2) if fresh else None for k, s in spent.items()},
                "settings": run.fingerprint(record),
            }
        )


def _program(task: StudyTask, method: Mapping[str, Any], seed: int, folder: Path) -> Program:
    """One training in as many stages as points; after each, the cells' scores are written.

    In the end a cell is searched with the shared weights, and written, too.
    """
    settings, space = task.settings, task.space
    nested = entry.nest(spos.spos, {k: v for k, v in method.items() if k not in ("samples",)})
    fixed = functools.partial(spos.spos, edges_per_node=space.edges_per_node, **nested)
    # The schedule goes by the optimiser's count, which goes on from stage to stage.
    train = lambda net, *, steps_per_epoch, epochs: fixed(net, steps_per_epoch=steps_per_epoch)
    gates, begin = space.genome.one_hot(task.cells.genomes), None
    steps = data.steps_per_epoch(len(task.dataset.train.labels), settings.batch_size)
    for number in range(settings.points):
        length = settings.epochs // settings.points
        result = yield Stage(
            f"point-{number}", space.choices, length, train, {"execute": "selected"}, begin
        )
        begin = functools.partial(_go_on, result.state)
        path = ranking_figures.scores_file(folder, number)
        if path.exists():
            continue
        count = settings.images if number == settings.points - 1 else settings.point_images
        progress.print_line(task.console, f"judging {settings.sample} cells on {count} images")
        accuracy, loss = result.evaluate(gates, count // _batch(settings))
        scores = {"step": (number + 1) * length * steps}
        scores |= {"accuracy": accuracy.tolist(), "loss": loss.tolist()}
        run.write_text(path, json.dumps(scores) + "\n")
    path = folder / EVOLVED
    if settings.evaluations and not path.exists():
        progress.print_line(task.console, f"evolving {settings.evaluations} cells")
        few = lambda gates: result.evaluate(gates, settings.point_images // _batch(settings))
        best = evolution.evolve(space, few, _evolution(settings), seed)
        run.write_text(path, json.dumps({"code": best.tolist()}) + "\n")
    few = lambda gates: result.evaluate(gates, settings.point_images // _batch(settings))
    for ms, limit in task.limits.items():
        path = _chosen_file(folder, ms)
        if not path.exists():
            progress.print_line(task.console, f"choosing a cell of {ms:g} ms")
            code = ranking_targets.choose(space, limit, few, settings.candidates, seed)
            run.write_text(path, json.dumps({"code": code}) + "\n")
    return Selection(space.choices, result.gates)


def _chosen_file(folder: Path, ms: float) -> Path:
    return folder / f"target-{ms:g}.json"


def _evolution(settings: Settings) -> Evolution:
    """The budget of the search; small ones have small populations."""
    population = max(1, min(Evolution.population, settings.evaluations // 4))
    return Evolution(settings.evaluations, population, min(Evolution.tournament, population))


def _go_on(before: Any, fresh: Any) -> Any:
    return before._replace(step=fresh.step, key=fresh.key)


def _line(row: study.Row) -> str:
    end = row["points"][-1]
    found = row["evolved"]
    evolved = f"; evolved {found['test']:.2f} %, rank {found['rank']:,}" if found else ""
    return (
        f"tau by loss {end['loss']['all']:.3f}, by accuracy {end['accuracy']['all']:.3f}; loss + "
        f"parameters {row['with_size']['all']:.3f} ({row['gain']['mean']:+.3f} over parameters)"
        f"{evolved}"
    )


def report(task: StudyTask, rows: Sequence[study.Row]) -> None:
    """Writes the report into the study's folder, and prints its tables."""
    count = task.settings.points
    ends = {
        (row["method"], row["seed"]): ranking_figures.points_of(
            task.folder / f"{row['method']}-seed{row['seed']}", count
        )[-1]
        for row in rows
    }
    again = flags.command(f"python -m {PROGRAM}", task.settings, Settings())
    notes = _notes(task, rows)
    chosen = None
    if task.campaign is not None:
        times = ranking_targets.time_chosen(task.campaign, rows, task.folder, task.console)
        chosen = ranking_targets.summary(task.table, rows, task.limits, times, task.space)
    for line in ranking_report.write(task.folder, rows, ends, task.cells, notes, again, chosen):
        progress.print_line(task.console, line)


def _notes(task: StudyTask, rows: Sequence[study.Row]) -> str:
    settings, dataset = task.settings, task.dataset
    split = "the split of the file" if settings.split else "halves by index"
    height, width, _ = dataset.train.inputs.shape[1:]
    seconds = sample.spread([row["cpu_s"] for row in rows], 0)
    return (
        f"Trained on {len(dataset.train.labels):,} images of {dataset.name}, {split}, "
        f"{height}x{width} pixels; {settings.features} channels, {settings.cells} cells a stage, "
        f"{rows[0]['points'][-1]['step']:,} steps at batch {settings.batch_size}. Truth: the "
        f"benchmark's test accuracy on CIFAR-10 after 200 epochs, of {settings.sample} cells at "
        f"random; judged by batch statistics on {settings.images:,} validation images at the end, "
        f"{settings.point_images:,} before. Means ± standard deviations are over seeds; halves are "
        "by truth; the choice is the best by the score, given by its truth. Gain: of the sum of "
        "the ranks by loss and by parameters over parameters, with its interval over cells drawn "
        f"anew. Processor seconds of a row: {seconds}."
    )


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    description = "\n".join((__doc__ or "").splitlines()[:5])
    return command_line.run(main, Settings(), PROGRAM, description, argv)


if __name__ == "__main__":
    sys.exit(cli())
