"""`jaxnas search`: finds a cell, retrains it beside random ones, reports."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rich.console

from jaxnas import data, run
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.methods import overrides
from jaxnas.nets import count
from jaxnas.pipelines import constraints, genotypes, search_stages, setup, training
from jaxnas.pipelines import oracle as oracle_lines
from jaxnas.pipelines import summary as pipelines_summary
from jaxnas.pipelines.settings import RunSettings, SearchSettings, command, flat
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import search as searches
from jaxnas.report import run_page
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype
from jaxnas.strategies import constrained_selection

GENOTYPE, SPACE, SUMMARY = "genotype.json", "space.json", "summary.json"
# The words of --set are recorded as the settings that they give.
# Targets are recorded where there are some.
NOT_FINGERPRINTED = [
    *(field.name for field in dataclasses.fields(RunSettings)), "set", "table", *constraints.FLAGS
]  # fmt: skip


def main(asked: SearchSettings, console: rich.console.Console | None = None) -> Path:
    """The whole run, from wherever its folder was left; gives the folder.

    Raises ValueError for settings that are impossible or have no effect, and what `data.load`,
    `run.claim` and `run.loop` raise.
    """
    console = console or rich.console.Console()
    note = lambda text="": progress.print_line(console, text)
    settings = searches.resolved(asked)
    goal = constraints.open_goal(settings)
    chosen = search_stages.method_settings(settings)
    plain = {name: chosen.get(name) for name in overrides.FLAGS}
    settings = dataclasses.replace(
        settings, **{k: v for k, v in plain.items() if not isinstance(v, tuple)}
    )
    folder = setup.folder(settings.place, name(settings))
    compilation_cache.enable()
    entry = registry.entry(settings.space, settings.cells)
    found = setup.load(settings.source, settings.train_fraction, settings.split_seed)
    shape = found.train.inputs.shape[1:]
    family = searches.family(settings.space)
    recipe = constraints.recipe(goal, settings.retrain)
    if family == "grid" and recipe.reductions is None:
        # A path's layers are those of the search, one for one.
        recipe = dataclasses.replace(recipe, reductions=settings.reductions)
    recipe = recipes.resolved(recipe, family, shape, "retrain.")
    settings = dataclasses.replace(settings, retrain=recipe)
    measured = registry.measured(settings.space, settings.cells)
    aims = constraints.found_aims(goal, settings, measured, shape, len(found.class_names))
    limits = [aim.limit for aim in aims]
    # Refuses what cannot be, before all else.
    search_stages.refuse(settings, entry, found, limits)
    training.check(entry, search_stages.random_cells(entry, 0), recipe, found)
    net = search_stages.supernet(settings, entry, len(found.class_names))
    steps_per_epoch = data.steps_per_epoch(len(found.train.labels), settings.batch_size)
    execution = run.execution(steps_per_epoch, settings.place.mode)
    decisive = moving(settings) | {f"set.{k}": v for k, v in chosen.items() if k not in plain}
    decisive |= {"space_sha256": entry.digest} | constraints.fingerprinted(settings, goal)
    record = run.record(decisive, execution, found.digest)

    truth = truths(settings)
    note(f"jaxnas finds a cell for {found.name}: {setup.images(found)}")
    note(what(settings, count.size(net, shape).parameters, steps_per_epoch))
    note(f"then it retrains the cell and {settings.random_cells} random ones alike, and compares")
    note(f"everything goes to {folder}")
    with run.claim(folder, record, note) as folder:
        if (folder / GENOTYPE).exists():
            genotype = genotypes.read(folder / GENOTYPE)
            note("search: done before")
        else:
            spaces = {name: choice._asdict() for name, choice in entry.space.items()}
            run.write_text(folder / SPACE, json.dumps(spaces) + "\n")
            learned = search_stages.search(
                settings,
                entry,
                found,
                training.augment(found, recipe.pad, recipe.flip, 0),
                run.Run(folder, record, execution, setup.saving(settings.place), console),
                limits,
            )
            genotype = learned.genotype
            if goal is not None:
                genotype = constraints.settled(
                    goal, settings, measured, aims, learned, folder, console
                )
            run.write_text(folder / GENOTYPE, genotype_text.to_json(genotype))
        for line in pipelines_summary.cells(genotype):
            note(line)
        held = constraints.read(folder) if goal is not None else None
        for path in genotypes.pictures(genotype, folder):
            note(f"picture: {path}")

        cells = {"found": genotype}
        # Runs of other seeds compare with other cells.
        first = settings.seed * settings.random_cells
        seeds = range(first, first + settings.random_cells)
        cells |= {f"random-{i}": search_stages.random_cells(entry, i) for i in seeds}
        best, *others = (
            retrained(name, cell, entry, settings, found, folder, console)
            for name, cell in cells.items()
        )
        true_score = truth(genotype) if truth else None
        again = command("jaxnas search", asked, SearchSettings())
        summary = {
            "found": best,
            "random": [{"seed": i} | result for i, result in zip(seeds, others, strict=True)],
            "truth": true_score and oracle_lines.as_json(true_score),
            **({"target": held} if held else {}),
            "command": again,
            "resume": f"{again} --resume",
        }
        run.write_text(folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
        report = run_page.write(folder)
    for line in pipelines_summary.comparison(best, others, len(found.test.labels)):
        note(line)
    for line in oracle_lines.lines(true_score) if true_score else ():
        note(line)
    for line in constrained_selection.lines(held) if held else ():
        note(line)
    note(f"report: {report}")
    return folder


def truths(settings: SearchSettings) -> Callable[[Genotype], benchmark.BenchmarkEntry] | None:
    """What a cell of NAS-Bench-201 really scores, where there is a table of it.

    Raises OracleError for a table that was named and cannot be read.
    """
    if searches.family(settings.space) != "nasbench201":
        return None
    if settings.table is None and not os.environ.get("JAXNAS_NASBENCH201"):
        return None
    table = benchmark.load(benchmark.locate(settings.table))
    return functools.partial(benchmark.verdict, table)


def retrained(
    name: str,
    genotype: Genotype,
    entry: registry.Entry,
    settings: SearchSettings,
    found: data.DataSet,
    folder: Path,
    console: rich.console.Console,
) -> dict[str, Any]:
    """The result of one cell, trained as all others are."""
    return training.train(
        entry,
        genotype,
        settings.retrain,
        settings.seed,
        found,
        folder=folder / "retrain" / name,
        title=f"retrain {name}",
        saving=setup.saving(settings.place),
        mode=settings.place.mode,
        console=console,
        timed=name == "found",
    )


def name(settings: SearchSettings) -> str:
    """The folder of a run that was given no name."""
    space = Path(settings.space).stem if settings.space.endswith(".py") else settings.space
    parts = [setup.label(settings.source.data), space]
    parts += [settings.method] if settings.method != "darts" else []
    parts += [settings.order] if settings.order not in (None, "first") else []
    parts += ["pt"] if settings.select == "perturbation" else []
    return "-".join([*parts, f"seed{settings.seed}"])


def what(settings: SearchSettings, parameters: int, steps_per_epoch: int) -> str:
    """The search in one line."""
    order = f", {settings.order} order" if settings.order in ("first", "exact") else ""
    order = ", finite differences" if settings.order == "finite-difference" else order
    epochs = f"{settings.epochs} epochs, " if settings.epochs else ""
    return (
        f"method {settings.method}{order}; space {settings.space}; {epochs}{steps_per_epoch} "
        f"steps an epoch; search network of {settings.cells} cells, "
        f"{settings.features} channels, {parameters:,} parameters"
    )


def moving(settings: SearchSettings) -> dict[str, Any]:
    """All settings that move the result, by the names of their flags."""
    return {name: value for name, value in flat(settings).items() if name not in NOT_FINGERPRINTED}
