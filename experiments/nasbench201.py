"""Searches NAS-Bench-201 by many methods and evaluates every cell by its true accuracy.

python -m experiments.nasbench201 --data-dir my_data --table nb201.npz --split split.npz

A row a (method, seed), on CIFAR-10: true accuracies, rank and regret of the cell, how well
the supernet orders cells, skips, seconds. Rows that are there are not run again, and a row that
was stopped goes on where it was saved. `--preset paper` is the benchmark's own search network and
each method's own settings, for a GPU. Figures that were measured: docs/results.md.
"""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import rich.console

from experiments import nasbench201_halves, nasbench201_order
from experiments import nasbench201_tables as tables
from experiments.nasbench201_tables import DATASET, SPACE
from jaxnas import data, run
from jaxnas.evaluators import gate_metrics, supernet
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.methods import overrides
from jaxnas.pipelines import command_line, retrain, search, search_stages, study
from jaxnas.pipelines.settings import Recipe, SearchSettings, flags
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.limits import require
from jaxnas.report import html_page, strip_plot, table
from jaxnas.report.statistics import conclusion, critical_difference, ranks
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genome, registry
from jaxnas.spaces.search_space import SearchSpace

PROGRAM = "experiments.nasbench201"
# What the preset decides where it is not given; the rest is that of `jaxnas search`.
PRESETS = {"quick": {"limit": 1000, "sample": 100}, "paper": {"limit": None, "sample": 1000}}
METHODS = (*study.METHODS, "spos-evolution", "fair-evolution")

PAIRED = (
    "True test accuracy on CIFAR-10 less that of random search with the same seed: the mean over "
    "seeds, its 95 % interval, p by Student's paired t, and p corrected for all methods (Holm); "
    "the median, and p by Wilcoxon's signed ranks."
)


@dataclasses.dataclass(frozen=True)
class Settings:
    methods: tuple[str, ...] = METHODS
    """Those that `jaxnas methods` lists, and darts-exact, darts-fd, darts-pt, spos-evolution,
    fair-evolution."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of all that is random in a row."""
    data: str = "cifar10"
    """The images to search on; the truth is of CIFAR-10."""
    data_dir: str | None = None
    """Where prepared TFDS sets lie."""
    table: str | None = None
    """The table of NAS-Bench-201 (docs/oracle.md); by default what JAXNAS_NASBENCH201 names."""
    split: str | None = None
    """A .npz with the benchmark's halves: `train` and `valid`, numbers of training images in
    their original order. Left out: the first half trains."""
    preset: Literal["quick", "paper"] = "quick"
    """`quick` for a CPU; `paper`: C=16, 5 cells a stage, all images, the methods' own settings."""
    zero_cost: str | None = None
    """A .csv or .csv.gz of training-free scores, whose best cells are shown beside the methods:
    `index`, and columns that end with _c10."""
    limit: int | None = None
    """The first N images of each half; quick: 1000, paper: all."""
    image_size: int | None = None
    """Scales every image to this many pixels a side."""
    features: int | None = None
    """Channels of the first cells."""
    cells: int | None = None
    """Cells a stage of the search network."""
    epochs: int | None = None
    """Passes over the training half, in each stage of a method; of one method alone by
    `--set METHOD.epochs=N`."""
    batch_size: int = 64
    """Images a step, of either half."""
    sample: int | None = None
    """How many cells the supernet's order is judged on; quick: 100, paper: 1000."""
    images: int | None = None
    """Validation images on which shared weights are judged; by default the whole half."""
    set: tuple[str, ...] = ()
    """Settings of a method, as `METHOD.name=value`."""
    out: str = "runs/nasbench201"
    """The study's folder."""


class PlannedRow(NamedTuple):
    """A row to be run."""

    task: search_stages.SearchTask
    record: Mapping[str, Any]  # of its folder


class StudyTask(NamedTuple):
    """What all rows share."""

    settings: Settings  # nothing left open
    table: benchmark.TabularBenchmark
    zero_cost: Mapping[str, np.ndarray]  # f64[15625] by score
    space: SearchSpace
    dataset: data.DataSet
    augment: data.augment.Augment
    execution: run.Execution
    folder: Path
    console: rich.console.Console


def main(settings: Settings, console: rich.console.Console | None = None) -> Path:
    """The whole study, from wherever it was left; gives its folder.

    Raises ValueError for settings that are impossible or have no effect, before anything is run,
    and what `search_stages.search` raises.
    """
    console = console or rich.console.Console()
    task = _resolve(settings, console)
    plan = {
        (name, seed): _planned(task, name, seed)
        for seed in settings.seeds
        for name in settings.methods
    }
    with run.claim(task.folder, _shared(task), lambda line: progress.print_line(console, line)):
        for row in study.rows(task.folder):
            key = row["method"], row["seed"]
            if key in plan and row["settings"] != run.fingerprint(plan[key].record):
                raise run.RunError(
                    f"{task.folder} has a row of {key[0]}, seed {key[1]}, with other settings: "
                    "use those, or another --out."
                )
        make = lambda name, seed: _row(task, name, seed, plan[name, seed])
        rows = study.complete(task.folder, settings.methods, settings.seeds, make, _line, console)
        report(task, settings, rows)
    return task.folder


def _resolve(settings: Settings, console: rich.console.Console) -> StudyTask:
    study.check(settings.methods, settings.seeds, settings.set)
    preset = PRESETS[settings.preset]
    missing = {k: v for k, v in preset.items() if getattr(settings, k) is None}
    settings = dataclasses.replace(settings, **missing)
    require("--limit", settings.limit, minimum=1)
    require("--sample", settings.sample, minimum=2)
    table = benchmark.load(benchmark.locate(settings.table))
    space = registry.get(SPACE)
    genome.sample_distinct(space.choices, settings.sample, nasbench201_order.SAMPLE_SEED)
    searches.resolved(_search(settings, settings.methods[0], 0), space)
    compilation_cache.enable()
    scores = {}
    if settings.zero_cost:
        scores = benchmark.zero_cost.load(settings.zero_cost, benchmark.SETS[DATASET].key)
    whole = data.load(settings.data, data_dir=settings.data_dir, image_size=settings.image_size)
    dataset = nasbench201_halves.halves(whole, settings.split, settings.limit)
    recipe = recipes.resolved(Recipe(), space, dataset.train.inputs.shape[1:])
    steps = data.steps_per_epoch(len(dataset.train.labels), settings.batch_size)
    return StudyTask(
        settings,
        table,
        scores,
        space,
        dataset,
        retrain.augment(dataset, recipe.pad, recipe.flip, 0),
        run.execution(steps),
        Path(settings.out).expanduser(),
        console,
    )


def _search(settings: Settings, name: str, seed: int) -> SearchSettings:
    return study.search_of(
        name,
        settings.set,
        space=SPACE,
        preset=settings.preset,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        features=settings.features,
        cells=settings.cells,
        seed=seed,
    )


def _planned(task: StudyTask, name: str, seed: int) -> PlannedRow:
    """A row's settings, all decided. Raises ValueError for what its method refuses."""
    settings = searches.resolved(_search(task.settings, name, seed), task.space)
    chosen = search_stages.method_settings(settings)
    plain = {k: v for k in overrides.FLAGS if not isinstance(v := chosen.get(k), tuple)}
    settings = dataclasses.replace(settings, **plain)
    scoring = supernet.Scoring(task.settings.images)
    search_task = search_stages.SearchTask(settings, task.space, task.dataset, scoring=scoring)
    search_stages.check(search_task)
    fingerprinted = {
        k: v
        for k, v in search.fingerprinted(settings).items()
        if not k.startswith("retrain.") and k not in ("data", "data_dir", "limit", "random_cells")
    }
    fingerprinted |= {f"set.{k}": v for k, v in chosen.items() if k not in plain}
    fingerprinted |= {"sample": task.settings.sample, "images": task.settings.images}
    record = run.record(fingerprinted, task.execution, task.dataset.digest)
    return PlannedRow(search_task, record)


def _shared(task: StudyTask) -> dict[str, Any]:
    """The record of the study's folder: what no row may differ in."""
    names = ("preset", "features", "cells", "epochs", "batch_size", "sample", "images")
    shared = {name: getattr(task.settings, name) for name in names}
    return run.record(shared, task.execution, task.dataset.digest)


def _row(task: StudyTask, name: str, seed: int, planned: PlannedRow) -> study.Row:
    """Runs a row to its end, or what is left of it."""
    folder = task.folder / f"{name}-seed{seed}"
    say = lambda line: progress.print_line(task.console, line)
    with run.claim(folder, planned.record, say) as folder:
        fresh = not (folder / "metrics.jsonl").exists()
        began = time.monotonic()
        result = search_stages.search(
            planned.task,
            task.augment,
            run.Run(folder, planned.record, task.execution, console=task.console),
        )
        wall_s = time.monotonic() - began
        seconds = study.steps_s(folder)
    scored = benchmark.query(task.table, result.genotype)
    ops = [op for _, _, op in result.genotype.cells["cell"].edges]
    scores = {key: score._asdict() for key, score in scored.sets.items()}
    figure = lambda field: {key: score[field] for key, score in scores.items()}
    order = nasbench201_order.Order()
    # Random search leaves the weights of one cell, which order nothing.
    if name != "random":
        order = nasbench201_order.of_supernet(
            task.space, task.table, result.finished, task.settings.sample
        )
    return study.finite(
        {
            "method": name,
            "seed": seed,
            "index": scored.index,
            "arch": scored.arch,
            "test": figure("test_200"),
            "rank": figure("rank"),
            "regret": figure("regret"),
            "valid": figure("valid_200"),
            **order._asdict(),
            "skips": ops.count(gate_metrics.SKIP),
            "nones": ops.count("none"),
            "search_s": round(seconds, 2),  # of all steps
            # Of the whole search; None where it was stopped between.
            "wall_s": round(wall_s, 2) if fresh else None,
            "settings": run.fingerprint(planned.record),
        }
    )


def _line(row: study.Row) -> str:
    tau = "" if row["kendall"] is None else f", tau {row['kendall']:.2f}"
    if row["kendall_loss"] is not None:
        tau += f" (by loss {row['kendall_loss']:.2f})"
    return (
        f"{row['test'][DATASET]:.2f} % true test accuracy, rank {row['rank'][DATASET]:,}, "
        f"{row['skips']} skips{tau}, {row['search_s']:.0f} s of steps"
    )


def report(task: StudyTask, settings: Settings, rows: Sequence[study.Row]) -> None:
    """Writes study.md, study.html and the figures into the study's folder; prints the table."""
    shown, all_rows = tables.summary(task.table, rows, task.zero_cost), tables.all_rows(rows)
    paired = tables.paired(rows)
    again = flags.command(f"python -m {PROGRAM}", settings, Settings())
    notes = _notes(task)
    names = [line[0] for line in shown.rows]
    order = sorted(dict.fromkeys(r["method"] for r in rows), key=names.index)
    group = lambda value: {n: [value(r) for r in rows if r["method"] == n] for n in order}
    accuracies = task.table.test[list(benchmark.SETS).index(DATASET), -1]
    references = {
        "optimum": float(accuracies.max()),
        "only skips": tables.only_skips(task.table)[DATASET].test_200,
    }
    accuracy = strip_plot.save(
        "True test accuracy of what was found", group(lambda row: row["test"][DATASET]),
        task.folder, "accuracy", label="CIFAR-10, 200 epochs (%)", lines=references,
    )  # fmt: skip
    sections = {
        "Table": table.html(shown, notes),
        "Accuracy": html_page.figure(accuracy, "accuracy"),
    }
    ordered = group(lambda row: float("nan") if row["kendall"] is None else row["kendall"])
    if any(row["kendall"] is not None for row in rows):
        tau = strip_plot.save(
            "How the supernet orders cells", ordered, task.folder, "tau",
            label=f"Kendall's tau with the truth, {task.settings.sample} cells",
            lines={"chance": 0.0},
        )  # fmt: skip
        sections["Order"] = html_page.figure(tau, "tau")
    shows = []
    if paired.rows:
        shows = conclusion.sentences(tables.scores(rows), tables.comparisons(rows))
        plain = "".join(f"<p>{html_page.escape(line)}</p>" for line in shows)
        sections["Against random search"] = table.html(paired, PAIRED) + plain
    if (ranked := ranks.ranks(tables.scores(rows))) is not None:
        picture = critical_difference.save(ranked, task.folder, "ranks")
        caption = f"Mean ranks over {ranked.blocks} seeds, Friedman's p = {ranked.p:.3f}"
        sections["Ranks"] = html_page.figure(picture, "ranks", caption, wide=True)
    sections["Every row"] = table.html(all_rows, "A line a method and seed")
    sections["Command"] = f'<pre tabindex="0"><code>{html_page.escape(again)}</code></pre>'
    page = html_page.write(
        task.folder / "study.html", "Study", "Methods on NAS-Bench-201",
        {"rows": str(len(rows)), "preset": task.settings.preset, "data": task.dataset.name},
        sections,
    )  # fmt: skip
    run.write_text(
        task.folder / "study.md",
        f"# Methods on NAS-Bench-201\n\n{notes}\n\n{table.markdown(shown)}\n"
        f"## Against random search\n\n{PAIRED}\n\n{table.markdown(paired)}\n"
        f"{''.join(f'{line} ' for line in shows)}\n\n"
        f"## Every row\n\n{table.markdown(all_rows)}\n```text\n{again}\n```\n",
    )
    for line in (table.text(shown) + "\n" + table.text(paired)).splitlines():
        progress.print_line(task.console, line)
    progress.print_line(task.console, f"report: {page}")


def _notes(task: StudyTask) -> str:
    settings, dataset = task.settings, task.dataset
    net = searches.resolved(_search(settings, settings.methods[0], 0), task.space)
    split = "the split of the file" if settings.split else "halves by index"
    epochs = f"{settings.epochs} epochs" if settings.epochs else "the methods' epochs"
    return (
        f"Searched on {dataset.name}, {split}: {len(dataset.train.labels):,} images to train on "
        f"and {len(dataset.valid.labels):,} to validate; {net.features} channels, {net.cells} "
        f"cells a stage, {epochs}, preset {settings.preset}. Accuracies are the benchmark's after "
        "200 epochs; means ± standard deviations are over seeds (of all cells: over cells). Rank, "
        f"regret, tau and rho are of {DATASET} test; tau and rho over {settings.sample} cells at "
        "random, the supernet by batch statistics. Search s are the seconds of all steps: "
        "compiling, validation, selection and saving are not in them."
    )


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    return command_line.run(main, Settings(), PROGRAM, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    sys.exit(cli())
