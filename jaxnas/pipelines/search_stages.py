"""The search of a run: data, network and method in, a genotype out."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import data, run
from jaxnas.core import hypergrad
from jaxnas.core.objectives import constraints
from jaxnas.core.stages import Program, Stage, StageResult
from jaxnas.core.types import Batch, Gates, Hypergradient, Search, SearchState, Space, Supernet
from jaxnas.evaluators import rank_correlation
from jaxnas.evaluators import supernet as evaluators_supernet
from jaxnas.methods import entry as methods_entry
from jaxnas.methods import overrides as told
from jaxnas.methods import selection
from jaxnas.pipelines.settings import SearchSettings
from jaxnas.pipelines.settings import search as searches
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype

SKIP = "skip_connect"
# Folded into a state's key for its batches; steps, which are folded in too, never get there.
BATCHES = 2**31 - 1
FIGURES = (
    ("loss", "loss/train", ".3f"),
    ("valid loss", "loss/valid", ".3f"),
    ("valid acc", "accuracy/supernet", ".1%"),
    ("entropy", "gates/entropy", ".3f"),
    ("skips", "gates/skips", "g"),
)


class Asked(NamedTuple):
    """What a run searches with."""

    program: Program
    select: Callable[[Space, Gates], Genotype]


class Learned(NamedTuple):
    """What a search ended with: its genotype, and how its last stage ended."""

    genotype: Genotype
    outcome: run.RunResult
    finished: StageResult


def asked(
    settings: SearchSettings,
    entry: registry.Entry,
    images: int,
    limits: Sequence[constraints.Limit] = (),
) -> Asked:
    """The program that resolved settings ask for, with `images` in the training half.

    `limits` hold what its architectures are expected to cost. Raises ValueError for settings that
    the method refuses.
    """
    reward = constraints.reward(limits)
    about = methods_entry.Context(
        entry,
        searches.family(settings.space),
        data.steps_per_epoch(images, settings.batch_size),
        settings.seed,
        _order(settings.order),
        constraints.penalty(limits) if limits and reward is None else None,
        reward,
    )
    perturbation = settings.select == "perturbation"
    chosen = method_settings(settings)
    program = selection.make(settings.method, about, chosen, perturbation)
    select = entry.select
    if "threshold" in chosen and about.family == "darts":
        choose = selection.of(settings.method).select
        select = functools.partial(choose, threshold=chosen["threshold"])
    return Asked(program, select)


def method_settings(settings: SearchSettings) -> dict[str, Any]:
    """All settings of the method, resolved. Raises ValueError as `selection.resolved`."""
    flags = {name: getattr(settings, name) for name in told.FLAGS}
    perturbation = settings.select == "perturbation"
    return selection.resolved(settings.method, settings.preset, flags, settings.set, perturbation)


def _order(name: str | None) -> Hypergradient | None:
    rules = {
        "first": hypergrad.first_order,
        "exact": hypergrad.unrolled,
        "finite-difference": hypergrad.finite_difference,
    }
    return rules[name]() if name else None


def random_cells(entry: registry.Entry, seed: int) -> Genotype:
    """A random genotype of the space, with as many edges as a found one.

    It is what random gates select: every pair of edges is as likely as any other, and so is
    every candidate that may be selected.
    """
    random = np.random.default_rng(seed)
    gates = {name: random.random(choice.shape) for name, choice in entry.space.items()}
    return entry.select(entry.space, gates)


def supernet(
    settings: SearchSettings, entry: registry.Entry, classes: int, stage: Stage | None = None
) -> Supernet:
    """The search network that resolved settings ask for, in a stage of its program."""
    own = {
        "features": settings.features,
        "cells": settings.cells,
        "classes": classes,
        "reductions": settings.reductions,
        "remat": settings.remat,
    }
    space, net = (stage.space, dict(stage.net)) if stage else (entry.space, {})
    return entry.supernet(space, **own | net)


def refuse(
    settings: SearchSettings,
    entry: registry.Entry,
    found: data.DataSet,
    limits: Sequence[constraints.Limit] = (),
) -> None:
    """Raises ValueError for what the first stage of a search cannot be; nothing is computed.

    Call it before a folder is claimed, which would hold the settings that cannot be.
    """
    images = len(found.train.labels)
    stage = next(asked(settings, entry, images, limits).program)
    net = supernet(settings, entry, len(found.class_names), stage)
    steps = data.steps_per_epoch(images, settings.batch_size)
    stage.method(net, epochs=stage.epochs, steps_per_epoch=steps)


class Host(NamedTuple):
    """What all stages of a run share."""

    settings: SearchSettings
    found: data.DataSet
    shaken: Callable[..., Batch]  # (images, key, step)
    still: Callable[..., Batch]
    train: Any
    valid: Any
    select: Callable[[Space, Gates], Genotype]
    entry: registry.Entry
    job: run.Run
    limits: Sequence[constraints.Limit] = ()


class Made(NamedTuple):
    """What stages of one method, space and supernet have in common, compiled once."""

    net: Supernet
    search: Search
    work: run.StepRunner
    accuracy: Callable[..., float]
    evaluate: Callable[..., tuple[np.ndarray, np.ndarray]]
    stage: Stage  # the first of them; kept, as it is known by the identity of its parts


def search(
    settings: SearchSettings,
    entry: registry.Entry,
    found: data.DataSet,
    augment: data.augment.Augment,
    job: run.Run,
    limits: Sequence[constraints.Limit] = (),
) -> Learned:
    """Searches to the end, from wherever `job.folder`, which is claimed, was left.

    What architectures are expected to cost is held below `limits`; each epoch records it.

    The first stage of the program keeps its files in that folder, each other one in
    `stages/NAME` within. Raises what `run.loop` raises.
    """
    program = asked(settings, entry, len(found.train.labels), limits)
    size = settings.batch_size
    host = Host(
        settings,
        found,
        data.make_batch(found.mean, found.std, augment, size),
        data.make_batch(found.mean, found.std, data.augment.none(), size),
        data.to_device(found.train),
        data.to_device(found.valid),
        program.select,
        entry,
        job,
        limits,
    )
    made: dict[Any, Made] = {}
    done, outcome, number = None, None, 0
    while True:
        try:
            stage = program.program.send(done)
        except StopIteration as end:
            return Learned(program.select(end.value.space, end.value.gates), outcome, done)
        done, outcome = _stage(host, stage, number, made)
        number += 1


def _stage(
    host: Host, stage: Stage, number: int, made: dict[Any, Made]
) -> tuple[StageResult, run.RunResult]:
    """Runs one stage, or takes up what is left of it."""
    key = jax.random.key(host.settings.seed)
    if number:
        key = jax.random.fold_in(key, number)
    named = {k: v if isinstance(v, str | int | float) else id(v) for k, v in stage.net.items()}
    same = (id(stage.method), tuple(stage.space.items()), tuple(named.items()))
    if same not in made:
        made[same] = _made(host, stage)
    net, search, work, accuracy, evaluate, _ = made[same]
    images = jnp.zeros((1, *host.found.train.inputs.shape[1:]), jnp.float32)
    state = run.init_compiled(search.init, key, images)
    if stage.begin is not None:
        state = stage.begin(state)

    # By limit: what gates are expected to cost.
    told = {
        limit.name: jax.jit(lambda gates, limit=limit: limit.expected(limit.shares(gates)))
        for limit in host.limits
    }

    def on_epoch(state: SearchState) -> run.EpochResult:
        gates = jax.device_get(search.gates(state))
        metrics = {"accuracy/supernet": accuracy(state, host.train, host.valid)}
        metrics |= gate_metrics(stage.space, gates, host.entry.select(stage.space, gates))
        metrics |= {f"expected/{name}": float(cost(gates)) for name, cost in told.items()}
        return run.EpochResult(metrics, {"gates": {k: v.tolist() for k, v in gates.items()}})

    steps_per_epoch = data.steps_per_epoch(len(host.found.train.labels), host.settings.batch_size)
    job, title = host.job, "search"
    if number:
        title, record = stage.name, {**job.record, "stage": stage.name}
        job = job._replace(folder=job.folder / "stages" / stage.name, record=record)
    job.folder.mkdir(parents=True, exist_ok=True)
    outcome = run.loop(
        job,
        work,
        state,
        total_steps=stage.epochs * steps_per_epoch,
        steps_per_epoch=steps_per_epoch,
        on_epoch=on_epoch,
        monitor=run.Monitor(title, FIGURES, skip_limits(host.entry)),
    )
    gates = jax.device_get(search.gates(outcome.state))
    shaken, k_batch = jax.jit(host.shaken), jax.random.fold_in(key, BATCHES)
    batch = lambda i: shaken(host.train, k_batch, jnp.int32(i))
    judge = lambda gates: evaluate(outcome.state, gates, host.valid)
    return StageResult(outcome.state, gates, judge, net, batch), outcome


def _made(host: Host, stage: Stage) -> Made:
    settings, found = host.settings, host.found
    net = supernet(settings, host.entry, len(found.class_names), stage)
    steps_per_epoch = data.steps_per_epoch(len(found.train.labels), settings.batch_size)
    search = stage.method(net, epochs=stage.epochs, steps_per_epoch=steps_per_epoch)
    valid_steps = data.steps_per_epoch(len(found.valid.labels), settings.batch_size)
    fixed = jax.random.key(0)
    valid = lambda images, step: host.still(images, fixed, step)

    def update(state: SearchState, train, valid):
        k_train, k_valid = jax.random.split(jax.random.fold_in(state.key, BATCHES))
        # A method that looks at no validation batch has none made: jit leaves out what is unused.
        return search.update(
            state, host.shaken(train, k_train, state.step), host.shaken(valid, k_valid, state.step)
        )

    judged = search
    if stage.net.get("execute", "all") != "all":
        # A supernet that computes one candidate an edge is judged with that candidate's gate open.
        judged = search._replace(gates=lambda state: _hardened(search.gates(state)))
    accuracy = evaluators_supernet.accuracy(
        net,
        judged,
        settings.statistics,
        valid=valid,
        train=lambda images, step: host.shaken(images, fixed, step),
        valid_steps=valid_steps,
    )
    return Made(
        net,
        search,
        run.make_runner(update, (host.train, host.valid), host.job.execution.mode),
        accuracy,
        rank_correlation.evaluator(net, valid, valid_steps),
        stage,
    )


def _hardened(gates: Gates) -> Gates:
    return jax.tree.map(lambda g: jax.nn.one_hot(jnp.argmax(g, -1), g.shape[-1]), gates)


def gate_metrics(space: Space, gates: Gates, genotype: Genotype) -> dict[str, float]:
    """Mean entropy of an edge's gates in nats, and the skips that would be selected now."""
    rows = np.concatenate([np.asarray(gates[name]).reshape(-1) for name in space])
    edges = sum(len(choice.edges) for choice in space.values())
    # 0 log 0 is 0.
    entropy = -np.sum(rows * np.log(np.where(rows > 0, rows, 1))) / edges
    skips = {
        f"gates/skips/{name}": sum(op == SKIP for _, _, op in cell.edges)
        for name, cell in genotype.cells.items()
    }
    return {"gates/entropy": float(entropy), "gates/skips": sum(skips.values())} | skips


def skip_limits(entry: registry.Entry) -> dict[str, int]:
    """From how many skips on a cell counts as collapsed: more than half of its edges. A path
    through a grid is of no choice by itself, and has none."""
    cells = random_cells(entry, 0).cells
    can_skip = lambda choice: any(SKIP in row for row in choice.candidates)
    return {
        name: len(cell.edges) // 2 + 1
        for name, cell in cells.items()
        if name in entry.space and can_skip(entry.space[name])
    }
