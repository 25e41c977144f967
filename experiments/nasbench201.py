"""Searches NAS-Bench-201 by many methods and judges every cell by its true accuracy.

python -m experiments.nasbench201 --data-dir my_data --table nb201.npz --split split.npz

A row a (method, seed), on CIFAR-10: true accuracies, rank and regret of the found cell, how well
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

from experiments import nasbench201_halves
from experiments import nasbench201_tables as tables
from experiments.nasbench201_tables import JUDGED
from jaxnas import data, run
from jaxnas.cli import experiment
from jaxnas.core.stages import StageResult
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators import rank_correlation
from jaxnas.evaluators.nasbench201 import isomorphism
from jaxnas.methods import overrides
from jaxnas.pipelines import search, search_stages, study, training
from jaxnas.pipelines.settings import Recipe, SearchSettings, flags
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.limits import require
from jaxnas.report import html_page, strip_plot, table
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import registry

SPACE = "nasbench201"
PROGRAM = "experiments.nasbench201"
# What the preset decides where it is not given; the rest is that of `jaxnas search`.
PRESETS = {"quick": {"limit": 1000, "sample": 100}, "paper": {"limit": None, "sample": 1000}}
SAMPLE_SEED = 0  # one sample for all rows, so that they are judged alike


@dataclasses.dataclass(frozen=True)
class Settings:
    methods: tuple[str, ...] = study.METHODS
    """Those that `jaxnas methods` lists, and darts-exact, darts-fd, darts-pt."""
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
    limit: int | None = None
    """The first N images of each half; quick: 1000, paper: all."""
    features: int | None = None
    """Channels of the first cells."""
    cells: int | None = None
    """Cells a stage of the search network."""
    epochs: int | None = None
    """Passes over the training half, in each stage of a method."""
    batch_size: int = 64
    """Images a step, of either half."""
    sample: int | None = None
    """How many cells the supernet's order is judged on; quick: 100, paper: 1000."""
    set: tuple[str, ...] = ()
    """Settings of a method, as `METHOD.name=value`."""
    out: str = "runs/nasbench201"
    """The study's folder."""


class Planned(NamedTuple):
    """A row to be run."""

    settings: SearchSettings
    record: Mapping[str, Any]  # of its folder


class Ground(NamedTuple):
    """What all rows share."""

    asked: Settings  # nothing left open
    table: benchmark.TabularBenchmark
    entry: registry.Entry
    found: data.DataSet
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
    ground = _ground(settings, console)
    plan = {
        (name, seed): _planned(ground, name, seed)
        for seed in settings.seeds
        for name in settings.methods
    }
    with run.claim(ground.folder, _shared(ground), lambda line: progress.print_line(console, line)):
        done = {(row["method"], row["seed"]): row for row in study.rows(ground.folder)}
        for key in (key for key in plan if key in done):
            if done[key]["settings"] != run.fingerprint(plan[key].record):
                raise run.RunError(
                    f"{ground.folder} has a row of {key[0]}, seed {key[1]}, with other settings: "
                    "use those, or another --out."
                )
        seconds = lambda name: [
            row["wall_s"] for (m, _), row in done.items() if m == name and row["wall_s"]
        ]
        is_done = lambda name, seed: (name, seed) in done
        for name, seed in study.pairs(settings.methods, settings.seeds, is_done, console, seconds):
            row = _row(ground, name, seed, plan[name, seed])
            study.add(ground.folder, row)
            done[name, seed] = row
            progress.print_line(console, f"{name}, seed {seed}: {_said(row)}")
        report(ground, settings, list(done.values()))
    return ground.folder


def _ground(settings: Settings, console: rich.console.Console) -> Ground:
    study.refuse(settings.methods, settings.seeds, settings.set)
    preset = PRESETS[settings.preset]
    missing = {k: v for k, v in preset.items() if getattr(settings, k) is None}
    asked = dataclasses.replace(settings, **missing)
    require("--limit", asked.limit, least=1)
    require("--sample", asked.sample, least=2)
    truth = benchmark.load(benchmark.locate(asked.table))
    isomorphism.sample(asked.sample, SAMPLE_SEED)
    searches.resolved(_search(asked, asked.methods[0], 0))
    compilation_cache.enable()
    found = nasbench201_halves.halves(
        data.load(asked.data, data_dir=asked.data_dir), asked.split, asked.limit
    )
    recipe = recipes.resolved(Recipe(), SPACE, found.train.inputs.shape[1:])
    steps = data.steps_per_epoch(len(found.train.labels), asked.batch_size)
    return Ground(
        asked,
        truth,
        registry.get(SPACE),
        found,
        training.augment(found, recipe.pad, recipe.flip, 0),
        run.execution(steps),
        Path(asked.out).expanduser(),
        console,
    )


def _search(asked: Settings, name: str, seed: int) -> SearchSettings:
    return study.asked(
        name,
        asked.set,
        space=SPACE,
        preset=asked.preset,
        epochs=asked.epochs,
        batch_size=asked.batch_size,
        features=asked.features,
        cells=asked.cells,
        seed=seed,
    )


def _planned(ground: Ground, name: str, seed: int) -> Planned:
    """A row's settings, all decided. Raises ValueError for what its method refuses."""
    settings = searches.resolved(_search(ground.asked, name, seed))
    chosen = search_stages.method_settings(settings)
    plain = {k: v for k in overrides.FLAGS if not isinstance(v := chosen.get(k), tuple)}
    settings = dataclasses.replace(settings, **plain)
    images = len(ground.found.train.labels)
    # The first stage, built and not run: a method refuses what it cannot do here.
    stage = next(search_stages.asked(settings, ground.entry, images).program)
    net = search_stages.supernet(settings, ground.entry, len(ground.found.class_names), stage)
    steps = data.steps_per_epoch(images, settings.batch_size)
    stage.method(net, epochs=stage.epochs, steps_per_epoch=steps)
    moving = {
        k: v
        for k, v in search.moving(settings).items()
        if not k.startswith("retrain.") and k not in ("data", "data_dir", "limit", "random_cells")
    }
    moving |= {f"set.{k}": v for k, v in chosen.items() if k not in plain}
    moving |= {"sample": ground.asked.sample}
    return Planned(settings, run.record(moving, ground.execution, ground.found.digest))


def _shared(ground: Ground) -> dict[str, Any]:
    """The record of the study's folder: what no row may differ in."""
    names = ("preset", "features", "cells", "epochs", "batch_size", "sample")
    shared = {name: getattr(ground.asked, name) for name in names}
    return run.record(shared, ground.execution, ground.found.digest)


def _row(ground: Ground, name: str, seed: int, planned: Planned) -> study.Row:
    """Runs a row to its end, or what is left of it."""
    folder = ground.folder / f"{name}-seed{seed}"
    say = lambda line: progress.print_line(ground.console, line)
    with run.claim(folder, planned.record, say) as folder:
        fresh = not (folder / "metrics.jsonl").exists()
        began = time.monotonic()
        learned = search_stages.search(
            planned.settings,
            ground.entry,
            ground.found,
            ground.augment,
            run.Run(folder, planned.record, ground.execution, console=ground.console),
        )
        wall_s = time.monotonic() - began
        seconds = study.steps_s(folder)
    entry = benchmark.query(ground.table, learned.genotype)
    ops = [op for _, _, op in learned.genotype.cells["cell"].edges]
    scores = {key: score._asdict() for key, score in entry.sets.items()}
    figure = lambda field: {key: score[field] for key, score in scores.items()}
    kendall, spearman = None, None
    # Random search leaves the weights of one cell, which order nothing.
    if name != "random":
        kendall, spearman = order(ground.table, learned.finished, ground.asked.sample)
    return study.finite(
        {
            "method": name,
            "seed": seed,
            "index": entry.index,
            "arch": entry.arch,
            "test": figure("test_200"),
            "rank": figure("rank"),
            "regret": figure("regret"),
            "valid": figure("valid_200"),
            "kendall": kendall,
            "spearman": spearman,
            "skips": ops.count(search_stages.SKIP),
            "nones": ops.count("none"),
            "search_s": round(seconds, 2),  # of all steps
            # Of the whole search; None where it was stopped between.
            "wall_s": round(wall_s, 2) if fresh else None,
            "settings": run.fingerprint(planned.record),
        }
    )


def order(
    truth: benchmark.TabularBenchmark, finished: StageResult, count: int
) -> tuple[float | None, float | None]:
    """Kendall's tau-b and Spearman's rho of a supernet's validation accuracies with the truth.

    Over `count` cells at random, the same for every supernet; by batch statistics; the truth is
    the test accuracy on CIFAR-10 after 200 epochs. None each where the supernet is of other
    candidates than the benchmark's (auxiliary ones, listed last, stay shut), NaN where it rates
    all cells alike.
    """
    choice = finished.net.space["cell"]
    known = len(isomorphism.OPS)
    if choice.edges != isomorphism.EDGES or any(
        row[:known] != isomorphism.OPS for row in choice.candidates
    ):
        return None, None
    codes = isomorphism.sample(count, SAMPLE_SEED)
    shut = ((0, 0), (0, 0), (0, choice.shape[1] - known))
    accuracy, _ = finished.evaluate({"cell": np.pad(isomorphism.to_gates(codes), shut)})
    rows = truth.row_of[isomorphism.number(codes)]
    agreed = rank_correlation.rank_correlation(
        accuracy, truth.test[list(benchmark.SETS).index(JUDGED), -1, rows]
    )
    return agreed.kendall, agreed.spearman


def _said(row: study.Row) -> str:
    tau = "" if row["kendall"] is None else f", tau {row['kendall']:.2f}"
    return (
        f"{row['test'][JUDGED]:.2f} % true test accuracy, rank {row['rank'][JUDGED]:,}, "
        f"{row['skips']} skips{tau}, {row['search_s']:.0f} s of steps"
    )


def report(ground: Ground, settings: Settings, rows: Sequence[study.Row]) -> None:
    """Writes study.md, study.html and the figures into the study's folder; prints the table."""
    whole, alone = tables.summary(ground.table, rows), tables.every(rows)
    again = flags.command(f"python -m {PROGRAM}", settings, Settings())
    notes = _notes(ground)
    names = [line[0] for line in whole.rows]
    order = sorted(dict.fromkeys(r["method"] for r in rows), key=names.index)
    group = lambda value: {n: [value(r) for r in rows if r["method"] == n] for n in order}
    truth = ground.table.test[list(benchmark.SETS).index(JUDGED), -1]
    known = {
        "optimum": float(truth.max()),
        "only skips": tables.only_skips(ground.table)[JUDGED].test_200,
    }
    accuracy = strip_plot.save(
        "True test accuracy of what was found", group(lambda row: row["test"][JUDGED]),
        ground.folder, "accuracy", label="CIFAR-10, 200 epochs (%)", lines=known,
    )  # fmt: skip
    sections = {
        "Table": table.html(whole, notes),
        "Accuracy": html_page.figure(accuracy, "accuracy"),
    }
    ordered = group(lambda row: float("nan") if row["kendall"] is None else row["kendall"])
    if any(row["kendall"] is not None for row in rows):
        tau = strip_plot.save(
            "How the supernet orders cells", ordered, ground.folder, "tau",
            label=f"Kendall's tau with the truth, {ground.asked.sample} cells",
            lines={"chance": 0.0},
        )  # fmt: skip
        sections["Order"] = html_page.figure(tau, "tau")
    sections["Every row"] = table.html(alone, "A line a method and seed")
    sections["Command"] = f'<pre tabindex="0"><code>{html_page.escape(again)}</code></pre>'
    page = html_page.write(
        ground.folder / "study.html", "Study", "Methods on NAS-Bench-201",
        {"rows": str(len(rows)), "preset": ground.asked.preset, "data": ground.found.name},
        sections,
    )  # fmt: skip
    run.write_text(
        ground.folder / "study.md",
        f"# Methods on NAS-Bench-201\n\n{notes}\n\n{table.markdown(whole)}\n"
        f"## Every row\n\n{table.markdown(alone)}\n```text\n{again}\n```\n",
    )
    for line in table.text(whole).splitlines():
        progress.print_line(ground.console, line)
    progress.print_line(ground.console, f"report: {page}")


def _notes(ground: Ground) -> str:
    asked, found = ground.asked, ground.found
    net = searches.resolved(_search(asked, asked.methods[0], 0))
    split = "the split of the file" if asked.split else "halves by index"
    epochs = f"{asked.epochs} epochs" if asked.epochs else "the methods' epochs"
    return (
        f"Searched on {found.name}, {split}: {len(found.train.labels):,} images to train on and "
        f"{len(found.valid.labels):,} to validate; {net.features} channels, {net.cells} cells a "
        f"stage, {epochs}, preset {asked.preset}. Accuracies are the benchmark's after 200 "
        "epochs; means ± standard deviations are over seeds (of all cells: over cells). Rank, "
        f"regret, tau and rho are of {JUDGED} test; tau and rho over {asked.sample} cells at "
        "random, the supernet by batch statistics. Search s are the seconds of all steps: "
        "compiling, validation, selection and saving are not in them."
    )


def cli(argv: Sequence[str] | None = None) -> int:
    """The command line of this study; gives its exit code."""
    return experiment.run(main, Settings(), PROGRAM, (__doc__ or "").splitlines()[0], argv)


if __name__ == "__main__":
    sys.exit(cli())
