"""The search of a run, stage by stage, from data, network and method to a genotype."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import data, run
from jaxnas.core import hypergrad, sharding
from jaxnas.core.objectives import constraints as objectives
from jaxnas.core.stages import Program, Selection, Stage, StageResult
from jaxnas.core.types import (
    Batch,
    Constraints,
    Gates,
    Hypergradient,
    Search,
    SearchState,
    Space,
    Supernet,
)
from jaxnas.evaluators import gate_metrics
from jaxnas.evaluators import supernet as supernet_evaluators
from jaxnas.hardware.tables import layer_table
from jaxnas.methods import overrides
from jaxnas.methods import registry as methods
from jaxnas.methods.entry import Context
from jaxnas.pipelines import evolution
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.spaces import discretise
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

# Folded into a state's key for its batches; above the steps that are folded in, too.
BATCHES = 2**31 - 1
FIGURES = (
    ("loss", "loss/train", ".3f"),
    ("valid loss", "loss/valid", ".3f"),
    ("valid acc", "accuracy/supernet", ".1%"),
    ("entropy", "gates/entropy", ".3f"),
    ("skips", "gates/skips", "g"),
)


class SearchTask(NamedTuple):
    """The space, data and settings of a search."""

    settings: SearchSettings  # resolved
    space: SearchSpace
    dataset: data.DataSet
    constraints: Constraints = ()  # on expected costs
    scoring: supernet_evaluators.Scoring = supernet_evaluators.Scoring()
    mesh: jax.sharding.Mesh | None = None  # of devices; None: one


class SearchPlan(NamedTuple):
    """The program of a method, and the discretisation of its gates."""

    program: Program
    discretise: Callable[[Space, Gates], Genotype]


class SearchResult(NamedTuple):
    """The genotype of a search, and the result of its last stage."""

    genotype: Genotype
    outcome: run.RunResult
    finished: StageResult


class Batches(NamedTuple):
    """The images of both halves on the device, and `(images, key, step) -> batch` of them."""

    train: Any
    valid: Any
    augmented: Callable[..., Batch]
    plain: Callable[..., Batch]  # of the scoring's size


class Compiled(NamedTuple):
    """The programs that stages of one method, space and supernet share, compiled once."""

    net: Supernet
    search: Search
    runner: run.StepRunner
    accuracy: Callable[..., float]
    evaluate: Callable[..., tuple[np.ndarray, np.ndarray]]
    stage: Stage  # the first one; referenced so that the ids of its parts stay unique


def plan(task: SearchTask) -> SearchPlan:
    """The plan of resolved settings. Raises ValueError for settings the method does not support."""
    settings, space = task.settings, task.space
    steps_per_epoch = data.steps_per_epoch(len(task.dataset.train.labels), settings.batch_size)
    reward = objectives.reward(task.constraints)
    context = Context(
        space,
        steps_per_epoch,
        settings.seed,
        _hypergradient(settings.order),
        task.constraints if reward is None else (),
        reward,
        layer_table.single_path_times,
    )
    resolved = method_settings(settings)
    perturbation = settings.select == "perturbation"
    if settings.select == "evolution":  # which asks for networks of its own
        resolved |= {"samples": 1}
    program = methods.program(settings.method, context, resolved, perturbation)
    select = methods.get(settings.method).discretise(space, resolved) or space.discretise
    return SearchPlan(program, functools.partial(discretise.connected, select))


def method_settings(settings: SearchSettings) -> dict[str, Any]:
    """All settings of the method, resolved. Raises ValueError as `registry.resolve`."""
    flags = {name: getattr(settings, name) for name in overrides.FLAGS}
    perturbation = settings.select == "perturbation"
    return methods.resolve(settings.method, settings.preset, flags, settings.set, perturbation)


def _hypergradient(order: str | None) -> Hypergradient | None:
    rules = {
        "first": hypergrad.first_order,
        "exact": hypergrad.unrolled,
        "finite-difference": hypergrad.finite_difference,
    }
    return rules[order]() if order else None


def supernet(task: SearchTask, stage: Stage | None = None) -> Supernet:
    """The supernet of resolved settings, in a stage of its program (None: before the first)."""
    settings = task.settings
    sizes = {
        "features": settings.features,
        "cells": settings.cells,
        "classes": len(task.dataset.class_names),
        "reductions": settings.reductions,
        "remat": settings.remat,
    }
    choices, changes = (stage.space, dict(stage.net)) if stage else (task.space.choices, {})
    return task.space.supernet(choices, **sizes | changes)


def check(task: SearchTask) -> None:
    """Raises ValueError for invalid settings of the first stage; computes nothing.

    Call it before a folder is claimed, since claiming records the settings.
    """
    stage = next(plan(task).program)
    steps = data.steps_per_epoch(len(task.dataset.train.labels), task.settings.batch_size)
    net = supernet(task, stage)
    stage.method(net, epochs=stage.epochs, steps_per_epoch=steps)
    _scoring_steps(task)
    evolution.check(task.settings, task.space)
    if task.settings.batch_size == 1:  # normalisation of a single value is refused
        image = jnp.zeros((1, *task.dataset.train.inputs.shape[1:]), jnp.float32)
        gates = {name: jnp.zeros(choice.shape) for name, choice in stage.space.items()}
        weights, stats = jax.eval_shape(net.init, jax.random.key(0), image)
        jax.eval_shape(net.apply, weights, stats, gates, image)


def search(
    task: SearchTask,
    augment: data.augment.Augment,
    job: run.Run,
    at_epoch: Callable[[], None] = lambda: None,
) -> SearchResult:
    """Searches to the end, or resumes from `job.folder`, which is claimed.

    `at_epoch()` is called after the steps of each epoch: from the first on, steps are compiled.
    Each epoch records the expected costs of the constraints. Raises as `run.loop`.
    """
    program, discretise = plan(task)
    selection, outcome, finished = execute(task, program, augment, job, at_epoch)
    if task.settings.select == "evolution":
        genotype = evolution.select(task.settings, task.space, finished)
    else:
        genotype = discretise(selection.space, selection.gates)
    return SearchResult(genotype, outcome, finished)


def execute(
    task: SearchTask,
    program: Program,
    augment: data.augment.Augment,
    job: run.Run,
    at_epoch: Callable[[], None] = lambda: None,
) -> tuple[Selection, run.RunResult, StageResult]:
    """Runs or resumes a program to its end: what it selects, and the results of its last stage.

    The first stage has its files in `job.folder`, which is claimed, each later one in its
    `stages/NAME`. Raises as `run.loop`.
    """
    dataset, size = task.dataset, task.settings.batch_size
    batches = Batches(
        sharding.replicated(data.to_device(dataset.train), task.mesh),
        sharding.replicated(data.to_device(dataset.valid), task.mesh),
        data.make_batch(dataset.mean, dataset.std, augment, size),
        data.make_batch(
            dataset.mean, dataset.std, data.augment.none(), task.scoring.batch_size or size
        ),
    )
    compiled: dict[Any, Compiled] = {}
    stage_result, outcome, number = None, None, 0
    while True:
        try:
            stage = program.send(stage_result)
        except StopIteration as stop:
            return stop.value, outcome, stage_result
        net_key = {
            k: v if isinstance(v, str | int | float) else id(v) for k, v in stage.net.items()
        }
        key = (id(stage.method), tuple(stage.space.items()), tuple(net_key.items()))
        if key not in compiled:
            compiled[key] = _compiled(task, stage, batches, job.execution.mode)
        stage_result, outcome = _run_stage(
            task, stage, number, compiled[key], batches, job, at_epoch
        )
        number += 1


def _run_stage(
    task: SearchTask,
    stage: Stage,
    number: int,
    compiled: Compiled,
    batches: Batches,
    job: run.Run,
    at_epoch: Callable[[], None],
) -> tuple[StageResult, run.RunResult]:
    """Runs or resumes one stage."""
    net, search = compiled.net, compiled.search
    key = jax.random.key(task.settings.seed)
    if number:
        key = jax.random.fold_in(key, number)
    images = jnp.zeros((1, *task.dataset.train.inputs.shape[1:]), jnp.float32)
    state = run.first_state(search.init, key, images)
    if stage.begin is not None:
        state = stage.begin(state)
    state = sharding.replicated(state, task.mesh)
    expected = {c.cost.quantity: jax.jit(c.cost.of_gates) for c in task.constraints}

    def on_epoch(state: SearchState) -> run.EpochResult:
        at_epoch()
        gates = jax.device_get(search.gates(state))
        metrics = {"accuracy/supernet": compiled.accuracy(state, batches.train, batches.valid)}
        metrics |= gate_metrics.of(stage.space, gates, task.space.discretise(stage.space, gates))
        metrics |= {f"expected/{name}": float(cost(gates)) for name, cost in expected.items()}
        return run.EpochResult(metrics, {"gates": {k: v.tolist() for k, v in gates.items()}})

    steps_per_epoch = data.steps_per_epoch(len(task.dataset.train.labels), task.settings.batch_size)
    title = "search"
    if number:
        title, record = stage.name, {**job.record, "stage": stage.name}
        job = job._replace(folder=job.folder / "stages" / stage.name, record=record)
    job.folder.mkdir(parents=True, exist_ok=True)
    outcome = run.loop(
        job,
        compiled.runner,
        state,
        total_steps=stage.epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        on_epoch=on_epoch,
        monitor=run.Monitor(title, FIGURES, gate_metrics.skip_limits(task.space)),
    )
    gates = jax.device_get(search.gates(outcome.state))
    augmented, k_batch = jax.jit(batches.augmented), jax.random.fold_in(key, BATCHES)
    batch = lambda i: augmented(batches.train, k_batch, jnp.int32(i))
    evaluate = lambda gates, *count: compiled.evaluate(outcome.state, gates, batches.valid, *count)
    return StageResult(outcome.state, gates, evaluate, net, batch), outcome


def _compiled(task: SearchTask, stage: Stage, batches: Batches, mode: str) -> Compiled:
    settings, dataset = task.settings, task.dataset
    net = supernet(task, stage)
    steps_per_epoch = data.steps_per_epoch(len(dataset.train.labels), settings.batch_size)
    search = stage.method(net, epochs=stage.epochs, steps_per_epoch=steps_per_epoch)
    search = search if task.mesh is None else sharding.data_parallel(search, task.mesh)
    valid_steps = _scoring_steps(task)
    fixed_key = jax.random.key(0)
    valid = lambda images, step: batches.plain(images, fixed_key, step)

    def update(state: SearchState, train, valid):
        k_train, k_valid = jax.random.split(jax.random.fold_in(state.key, BATCHES))
        # jit removes the validation batch of methods that do not use it.
        return search.update(
            state,
            batches.augmented(train, k_train, state.step),
            batches.augmented(valid, k_valid, state.step),
        )

    evaluated = search
    if stage.net.get("execute", "all") != "all":
        # A supernet that computes one candidate an edge is evaluated with that candidate's gate
        # open.
        evaluated = search._replace(gates=lambda state: _argmax_gates(search.gates(state)))
    accuracy = supernet_evaluators.accuracy(
        net,
        evaluated,
        settings.statistics,
        valid=valid,
        train=lambda images, step: batches.augmented(images, fixed_key, step),
        valid_steps=valid_steps,
    )
    return Compiled(
        net,
        search,
        run.make_runner(update, (batches.train, batches.valid), mode),
        accuracy,
        supernet_evaluators.evaluator(net, valid, valid_steps),
        stage,
    )


def _scoring_steps(task: SearchTask) -> int:
    count = len(task.dataset.valid.labels)
    return supernet_evaluators.scoring_steps(task.scoring, count, task.settings.batch_size)


def _argmax_gates(gates: Gates) -> Gates:
    return jax.tree.map(lambda g: jax.nn.one_hot(jnp.argmax(g, -1), g.shape[-1]), gates)
