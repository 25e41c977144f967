"""The time and memory that a row of an ablation will take, from a few steps of it."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import rich.console

from jaxnas import data, run
from jaxnas.pipelines import retrain, search, search_stages
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.run import memory
from jaxnas.spaces import sampling

STEPS = 3


class Forecast(NamedTuple):
    """Of one row: seconds with compilation, without validation, selection and testing."""

    search_s: float  # of the first stage of its method
    retrain_s: float  # of all trainings
    bytes: int | None  # of the largest program, with what it is given


class StepCost(NamedTuple):
    """Of a run's steps."""

    step_s: float
    compile_s: float
    bytes: int | None  # with the state, without the images


def measure(settings: SearchSettings, trainings: int, console: rich.console.Console) -> Forecast:
    """Compiles the programs of a row and runs a few steps of each; leaves no files.

    What is compiled stays in the cache for the run itself. Raises as `search.resolve`.
    """
    planned = search.resolve(settings, console)
    task, recipe = planned.search, planned.search.settings.retrain
    cell = sampling.random_genotype(task.space, 0)
    training = retrain.TrainingTask(
        task.space, cell, recipe, settings.seed, task.dataset, mesh=task.mesh
    )
    of_search = _step_cost(planned.job, lambda job: _search(task, job))
    begun = retrain.begin(training, settings.place.mode)
    job = run.Run(planned.job.folder, begun.plan.record, begun.plan.execution)
    of_training = _step_cost(job, lambda job: _train(begun, recipe.epochs, job))
    images = [len(half.labels) for half in (task.dataset.train, task.dataset.valid)]
    stage = next(search_stages.plan(task).program)
    steps = stage.epochs * data.steps_per_epoch(images[0], task.settings.batch_size)
    training_s = of_training.step_s * recipe.epochs * begun.plan.steps_per_epoch
    networks = 1 + task.settings.random_cells  # each is compiled; repetitions come from the cache
    loaded = sum(half.inputs.nbytes for half in (task.dataset.train, task.dataset.valid))
    needed = [cost.bytes for cost in (of_search, of_training) if cost.bytes is not None]
    return Forecast(
        of_search.compile_s + of_search.step_s * steps,
        networks * of_training.compile_s + (networks + trainings - 1) * training_s,
        max(needed) + loaded if needed else None,
    )


def memory_text(forecast: Forecast) -> str:
    """The memory in words; "unknown" where the device does not say."""
    if forecast.bytes is None:
        return "unknown"
    if forecast.bytes < memory.GIB / 10:
        return f"{forecast.bytes / 2**20:.1f} MiB"
    return f"{forecast.bytes / memory.GIB:.2f} GiB"


def _search(task: search_stages.SearchTask, job: run.Run) -> None:
    recipe = task.settings.retrain
    search_stages.search(task, retrain.augment(task.dataset, recipe.pad, recipe.flip, 0), job)


def _train(begun: retrain.Begun, epochs: int, job: run.Run) -> None:
    steps = begun.plan.steps_per_epoch
    run.loop(
        job, begun.runner, begun.state, total_steps=epochs * steps, steps_per_epoch=steps,
        monitor=run.Monitor("training", tensorboard=False),
    )  # fmt: skip


def _step_cost(job: run.Run, start: Callable[[run.Run], None]) -> StepCost:
    """Runs the first steps of a job in a folder that is deleted."""
    steps = job.execution.chunk_steps if job.execution.mode == "scan" else STEPS
    with tempfile.TemporaryDirectory(prefix="jaxnas-") as folder:
        try:
            console = rich.console.Console(quiet=True)
            start(job._replace(folder=Path(folder), console=console, pause_at=steps))
        except run.Paused as paused:
            result = paused.result
    needed = result.needed_bytes
    if needed is not None:
        needed += sum(leaf.nbytes for leaf in jax.tree.leaves(result.state))
    return StepCost(result.step_ms / 1e3, result.compile_s or 0.0, needed)
