"""`jaxnas search`: searches a genotype, retrains it and random ones, reports."""

import dataclasses
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import rich.console

from jaxnas import data, run
from jaxnas.core import sharding
from jaxnas.evaluators import tabular
from jaxnas.methods import overrides
from jaxnas.methods import registry as methods
from jaxnas.nets import count
from jaxnas.pipelines import (
    ahead,
    constraints,
    genotypes,
    retrain,
    search_stages,
    setup,
    summary,
)
from jaxnas.pipelines.constraints import Predictors
from jaxnas.pipelines.export import record as network_record
from jaxnas.pipelines.latency import device_campaign
from jaxnas.pipelines.settings import RunSettings, SearchSettings, command, flat
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import search as searches
from jaxnas.pipelines.settings.limits import fail
from jaxnas.report import run_page
from jaxnas.run import compilation_cache, progress
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry, sampling
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import NetworkSize, SearchSpace

GENOTYPE, SPACE, SUMMARY = "genotype.json", "space.json", network_record.SUMMARY
# --set is recorded as the method's settings, constraints by `constraints.fingerprinted`.
NOT_FINGERPRINTED = [
    *(field.name for field in dataclasses.fields(RunSettings)), "set", "table", "devices",
    *constraints.FLAGS,
]  # fmt: skip


class SearchRun(NamedTuple):
    """A resolved and checked run."""

    search: search_stages.SearchTask
    predictors: Predictors | None
    job: run.Run
    truth: Callable[[Genotype], Any] | None  # benchmark entry of a genotype; None: no table
    command: str  # the command line of the settings


def main(settings: SearchSettings, console: rich.console.Console | None = None) -> Path:
    """Runs the command, or resumes it from its folder; returns the folder.

    Raises ValueError for settings that are invalid or have no effect, and as `data.load`,
    `run.claim` and `run.loop`.
    """
    console = console or rich.console.Console()
    log = lambda text="": progress.print_line(console, text)
    task = resolve(settings, console)
    _announce(task, log)
    with run.claim(task.job.folder, task.job.record, log) as folder:
        task = task._replace(job=task.job._replace(folder=folder))
        with ahead.compiling(_known_before(task), task.search.settings.place.mode) as others:
            genotype = _searched(task, log, others.start)
            for line in (*summary.cells(genotype), *genotypes.warnings(genotype)):
                log(line)
            for path in genotypes.pictures(genotype, folder):
                log(f"picture: {path}")
            record = _retrained(task, genotype, others)
        network_record.write_summary(folder, record)
        report = run_page.write(folder)
    images = len(task.search.dataset.test.labels)
    target = record.get("target")
    for line in summary.comparison(record["found"], record["random"], images, target):
        log(line)
    if task.truth is not None:
        for line in tabular.of(task.search.space).lines(task.truth(genotype)):
            log(line)
    if target is not None:
        for line in summary.constraints(target, record["found"]["latency_ms"]):
            log(line)
    log(f"report: {report}")
    return folder


def resolve(requested: SearchSettings, console: rich.console.Console) -> SearchRun:
    """The run of the settings. Raises ValueError for invalid ones.

    Writes nothing but the campaign of a target without one, which is measured here.
    """
    settings = searches.resolved(requested, registry.get(requested.space))
    predictors = constraints.load_predictors(settings)
    method_settings = search_stages.method_settings(settings)
    flags = {name: method_settings.get(name) for name in overrides.FLAGS}
    settings = dataclasses.replace(
        settings, **{key: value for key, value in flags.items() if not isinstance(value, tuple)}
    )
    weight = methods.get(settings.method).latency_weight(method_settings)
    if predictors is None and weight is not None:
        progress.print_line(console, f"latency: --latency-weight {weight:g}, of this device")
        settings = dataclasses.replace(settings, latency_weight=weight)
    folder = setup.folder(settings.place, name(settings))
    compilation_cache.enable()
    space = registry.get(settings.space, settings.cells)
    dataset = setup.load(settings.source, settings.train_fraction, settings.split_seed)
    if dataset.own_valid and settings.train_fraction != SearchSettings.train_fraction:
        fail(
            f"--train-fraction has no effect on {dataset.name}, which has a validation part of its "
            "own: leave it out."
        )
    shape = dataset.train.inputs.shape[1:]
    recipe = constraints.recipe(predictors, settings.retrain)
    if "search_reductions" in space.supports and recipe.reductions is None:
        # The network has the layers of the supernet.
        recipe = dataclasses.replace(recipe, reductions=settings.reductions)
    recipe = recipes.resolved(recipe, space, shape, "retrain.")
    settings = dataclasses.replace(settings, retrain=recipe)
    classes = len(dataset.class_names)
    limits = constraints.of_settings(predictors, settings, space, shape, classes)
    to_measure = constraints.in_ms(settings) and settings.latency is None
    if to_measure:  # all else is checked before that takes minutes
        limits = constraints.placeholders(settings)
    sizes = {"--batch-size": settings.batch_size, "--retrain.batch-size": recipe.batch_size}
    mesh = sharding.mesh_of(settings.devices, sizes)
    search = search_stages.SearchTask(settings, space, dataset, limits, mesh=mesh)
    _check_batches(search)
    search_stages.check(search)
    retrain.check(_retraining(search, sampling.random_genotype(space, 0)))
    if to_measure:
        size = NetworkSize(recipe.features, recipe.cells, classes, shape)
        campaign = device_campaign.find_or_measure(settings, space, size, console)
        settings = dataclasses.replace(settings, latency=str(campaign))
        predictors = constraints.load_predictors(settings)
        limits = constraints.of_settings(predictors, settings, space, shape, classes)
        search = search._replace(settings=settings, constraints=limits)
    steps_per_epoch = data.steps_per_epoch(len(dataset.train.labels), settings.batch_size)
    execution = run.execution(steps_per_epoch, settings.place.mode)
    fingerprint = fingerprinted(settings) | {
        f"set.{key}": value for key, value in method_settings.items() if key not in flags
    }
    fingerprint |= {"space_sha256": space.digest} | ({"devices": mesh.size} if mesh else {})
    if (digest := methods.get(settings.method).digest) is not None:
        fingerprint |= {"method_sha256": digest}
    fingerprint |= constraints.fingerprinted(settings, predictors)
    record = run.record(fingerprint, execution, dataset.digest)
    job = run.Run(folder, record, execution, setup.checkpoints(settings.place), console)
    command_text = command("jaxnas search", requested, SearchSettings())
    return SearchRun(search, predictors, job, _truth(settings, space), command_text)


def _check_batches(search: search_stages.SearchTask) -> None:
    """Raises ValueError for batches of the search or of training that exceed their images."""
    settings, dataset = search.settings, search.dataset
    halves = [len(part.labels) for part in (dataset.train, dataset.valid)]
    causes = [
        f"{flag[2:].replace('-', '_')} is {size} but there are {count} images to draw from: use "
        f"{flag} 1 to {count}"
        for flag, size, count in (
            ("--batch-size", settings.batch_size, min(halves)),
            ("--retrain.batch-size", settings.retrain.batch_size, sum(halves)),
        )
        if size > count
    ]
    if causes:
        fail(f"{'; '.join(causes)}.")


def fingerprinted(settings: SearchSettings) -> dict[str, Any]:
    """The settings that identify a run: with other values it is not resumed."""
    return {k: v for k, v in flat(settings).items() if k not in NOT_FINGERPRINTED}


def name(settings: SearchSettings) -> str:
    """The default name of a run's folder."""
    parts = [setup.label(settings.source.data), registry.label(settings.space)]
    parts += [methods.label(settings.method)] if settings.method != SearchSettings.method else []
    parts += [settings.order] if settings.order not in (None, "first") else []
    parts += ["pt"] if settings.select == "perturbation" else []
    parts += ["evolution"] if settings.select == "evolution" else []
    return "-".join([*parts, f"seed{settings.seed}"])


def _truth(settings: SearchSettings, space: SearchSpace) -> Callable[[Genotype], Any] | None:
    """The query of the space's tabular benchmark; None without a table.

    Raises ValueError for a table that cannot be read.
    """
    if space.benchmark is None:
        return None
    benchmark = tabular.of(space)
    if settings.table is None and not os.environ.get(benchmark.VARIABLE):
        return None
    return functools.partial(benchmark.query, benchmark.load(benchmark.locate(settings.table)))


def _announce(task: SearchRun, log: Callable[[str], None]) -> None:
    settings, dataset = task.search.settings, task.search.dataset
    order = f", {settings.order} order" if settings.order in ("first", "exact") else ""
    order = ", finite differences" if settings.order == "finite-difference" else order
    epochs = f"{settings.epochs} epochs, " if settings.epochs else ""
    net = search_stages.supernet(task.search)
    parameters = count.size(net, dataset.train.inputs.shape[1:]).parameters
    steps_per_epoch = data.steps_per_epoch(len(dataset.train.labels), settings.batch_size)
    log(f"jaxnas finds a cell for {dataset.name}: {setup.images(dataset)}")
    log(
        f"method {settings.method}{order}; space {settings.space}; {epochs}{steps_per_epoch} "
        f"steps an epoch; search network of {settings.cells} cells, "
        f"{settings.features} channels, {parameters:,} parameters"
    )
    log(
        f"then it retrains the cell and {settings.random_cells} random ones alike"
        f"{_retrained_size(task)}, and compares"
    )
    if task.search.mesh is not None:
        log(f"{task.search.mesh.size} devices share each batch; its statistics are of the whole")
    log(f"everything goes to {task.job.folder}")


def _retrained_size(task: SearchRun) -> str:
    """The width that is retrained, where a campaign sets it and the search's is another."""
    settings, predictors = task.search.settings, task.predictors
    width = settings.retrain.features
    if predictors is None or predictors.campaign is None or width == settings.features:
        return ""
    return f", with {width} channels as the campaign timed them"


def _searched(
    task: SearchRun, log: Callable[[str], None], compile_others: Callable[[], None]
) -> Genotype:
    """The genotype: read if the search is finished, else searched and written."""
    folder, search = task.job.folder, task.search
    settings, space, dataset = search.settings, search.space, search.dataset
    if (folder / GENOTYPE).exists():
        log("search: done before")
        return genotypes.read(folder / GENOTYPE)
    choices = {name: choice._asdict() for name, choice in space.choices.items()}
    run.write_text(folder / SPACE, json.dumps(choices) + "\n")
    augment = retrain.augment(dataset, settings.retrain.pad, settings.retrain.flip, 0)
    result = search_stages.search(task.search, augment, task.job, compile_others)
    genotype = result.genotype
    if task.predictors is not None:
        genotype = constraints.select(task.predictors, task.search, result, task.job)
    run.write_text(folder / GENOTYPE, genotype_text.to_json(genotype))
    return genotype


def _random_seeds(settings: SearchSettings) -> range:
    """Each seed has different random cells."""
    first = settings.seed * settings.random_cells
    return range(first, first + settings.random_cells)


def _known_before(task: SearchRun) -> dict[str, retrain.TrainingTask]:
    """The trainings to compile while the search runs: none where it measures latencies."""
    settings = task.search.settings
    if task.predictors is not None or settings.latency_weight is not None:
        return {}
    return {
        f"random-{i}": _retraining(task.search, sampling.random_genotype(task.search.space, i))
        for i in _random_seeds(settings)
        if not (task.job.folder / "retrain" / f"random-{i}" / retrain.RESULT).exists()
    }


def _retrained(task: SearchRun, genotype: Genotype, others: ahead.Ahead) -> dict[str, Any]:
    """The summary: the genotype and random ones, trained alike."""
    settings, job = task.search.settings, task.job
    seeds = _random_seeds(settings)
    cells = {"found": genotype} | {
        f"random-{i}": sampling.random_genotype(task.search.space, i) for i in seeds
    }
    others.start()
    others.wait()  # the latency of the found network is measured
    searched, *rest = (
        retrain.train(
            _retraining(task.search, cell),
            job.folder / "retrain" / name,
            title=f"retrain {name}",
            place=settings.place,
            console=job.console,
            timed=name == "found",
            begun=functools.partial(others.begun, name) if name in others.names else None,
        )
        for name, cell in cells.items()
    )
    truth = None
    if task.truth is not None:
        truth = tabular.of(task.search.space).as_json(task.truth(genotype))
    record = {
        "found": searched,
        "random": [{"seed": i} | result for i, result in zip(seeds, rest, strict=True)],
        "truth": truth,
    }
    if task.predictors is not None:
        record["target"] = constraints.read(job.folder)
    return record | {"command": task.command, "resume": f"{task.command} --resume"}


def _retraining(search: search_stages.SearchTask, genotype: Genotype) -> retrain.TrainingTask:
    settings = search.settings
    return retrain.TrainingTask(
        search.space, genotype, settings.retrain, settings.seed, search.dataset, mesh=search.mesh,
        source=settings.source,
    )  # fmt: skip
