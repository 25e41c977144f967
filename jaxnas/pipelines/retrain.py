"""`jaxnas retrain`: trains the network of a genotype on all training images, tests it, reports."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import rich.console

from jaxnas import data, run
from jaxnas.core import metrics, sharding
from jaxnas.core.types import Network, Stats, Weights
from jaxnas.evaluators import calibration, training
from jaxnas.evaluators.training import Hyperparameters, Trainer, TrainState
from jaxnas.hardware import timing
from jaxnas.nets import count
from jaxnas.pipelines import genotypes, setup, summary
from jaxnas.pipelines.export import record as network_record
from jaxnas.pipelines.settings import (
    DataSettings,
    Recipe,
    RetrainSettings,
    RunSettings,
    command,
    flat,
)
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import retrain as retrains
from jaxnas.report import run_page
from jaxnas.run import checkpoint, compilation_cache, progress
from jaxnas.spaces import genotype as genotype_text
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

GENOTYPE, RESULT = "genotype.json", "result.json"
FIGURES = (
    ("loss", "loss/train", ".3f"),
    ("train acc", "accuracy/train", ".1%"),
)


class TrainingTask(NamedTuple):
    """The network to train, its data and the recipe."""

    space: SearchSpace
    genotype: Genotype
    recipe: Recipe  # resolved
    seed: int
    dataset: data.DataSet
    start: tuple[Weights, Stats] | None = None  # initial values; None: random by `seed`
    mesh: jax.sharding.Mesh | None = None  # of devices; None: one
    source: DataSettings | None = None  # the flags that name the data; None: made in Python
    pruned: str | None = None  # the network's text by `Prunable.to_text`, where it is narrowed


class TrainingPlan(NamedTuple):
    """The trainer of a task, and the record of its folder."""

    net: Network
    trainer: Trainer
    steps_per_epoch: int
    execution: run.Execution
    record: Mapping[str, Any]  # of its folder


class Begun(NamedTuple):
    """A training before its first step: its plan, its steps and its first state."""

    plan: TrainingPlan
    runner: run.StepRunner
    state: TrainState


def main(settings: RetrainSettings, console: rich.console.Console | None = None) -> Path:
    """Runs the command, or resumes it from its folder; returns the folder.

    Raises ValueError for settings that are invalid or have no effect, GenotypeError for an invalid
    genotype, and as `data.load`, `run.claim` and `run.loop`.
    """
    console = console or rich.console.Console()
    log = lambda text="": progress.print_line(console, text)
    retrains.check(settings)
    genotype, label = genotypes.named(settings.genotype)
    name = f"{setup.label(settings.source.data)}-retrain-{setup.label(label)}"
    folder = setup.folder(settings.place, f"{name}-seed{settings.seed}")
    space = registry.get(settings.space) if settings.space else registry.of_genotype(genotype)
    compilation_cache.enable()
    dataset = setup.load(settings.source)
    shape = dataset.train.inputs.shape[1:]
    recipe = recipes.resolved(settings.recipe, space, shape)
    mesh = sharding.mesh_of(settings.devices, {"--batch-size": recipe.batch_size})
    task = TrainingTask(
        space, genotype, recipe, settings.seed, dataset, mesh=mesh, source=settings.source
    )
    check(task)
    genotypes.check_connected(genotype)
    size = count.size(network(task), shape)
    cells = f"{recipe.cells} cells, " if recipe.cells else ""
    log(f"jaxnas trains the network of {label} on {dataset.name}: {setup.images(dataset)}")
    log(
        f"{recipe.epochs} epochs; {cells}{recipe.features} channels, "
        f"{size.parameters:,} parameters, {size.macs:,} MACs"
    )
    for line in genotypes.warnings(genotype):
        log(line)
    log(f"everything goes to {folder}")
    result = train(task, folder, title="retrain", place=settings.place, console=console)
    run.write_text(folder / GENOTYPE, genotype_text.to_json(genotype))
    command_text = command("jaxnas retrain", settings, RetrainSettings(""))
    record = {"found": result, "command": command_text, "resume": f"{command_text} --resume"}
    network_record.write_summary(folder, record)
    report = run_page.write(folder)
    for line in summary.comparison(result, [], len(dataset.test.labels)):
        log(line)
    log(f"report: {report}")
    return folder


def augmentation(recipe: Recipe, dataset: data.DataSet) -> data.augment.Augment:
    """The augmentation of a resolved recipe."""
    return augment(dataset, recipe.pad, recipe.flip, recipe.cutout)


def augment(dataset: data.DataSet, pad: int, flip: bool, cutout: int) -> data.augment.Augment:
    """Pad with black and crop, flip, cutout: in the order of the DARTS code."""
    parts = []
    if pad:
        parts.append(data.augment.pad_crop(pad, data.augment.black(dataset.mean, dataset.std)))
    if flip:
        parts.append(data.augment.flip())
    if cutout:
        parts.append(data.augment.cutout(cutout))
    return data.augment.chain(*parts) if parts else data.augment.none()


def network(task: TrainingTask) -> Network:
    """The network of a task."""
    classes = len(task.dataset.class_names)
    return network_of(task.space, task.genotype, task.recipe, classes)


def network_of(space: SearchSpace, genotype: Genotype, recipe: Recipe, classes: int) -> Network:
    """The network of a genotype and a resolved recipe."""
    return space.network(
        genotype,
        features=recipe.features,
        cells=recipe.cells,
        classes=classes,
        reductions=recipe.reductions,
        auxiliary=recipe.auxiliary > 0,
    )


def check(task: TrainingTask) -> None:
    """Raises ValueError if a resolved recipe cannot train a genotype on these images.

    Computes nothing: call it before a search whose cell will be trained.
    """
    net, dataset, batch_size = network(task), task.dataset, task.recipe.batch_size
    inputs = jax.ShapeDtypeStruct((batch_size, *dataset.train.inputs.shape[1:]), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    weights, stats = jax.eval_shape(net.init, key, inputs)
    if batch_size == 1:  # normalisation of a single value is refused
        jax.eval_shape(lambda *a: net.apply(*a, None), weights, stats, inputs, key)
    jax.eval_shape(augmentation(task.recipe, dataset), key, inputs)
    data.steps_per_epoch(len(dataset.train.labels) + len(dataset.valid.labels), batch_size)


def plan(task: TrainingTask, mode: str | None = None) -> TrainingPlan:
    """The trainer of a task, and the record of its folder."""
    recipe, dataset = task.recipe, task.dataset
    net = network(task)
    images = len(data.merge_train(dataset).labels)
    steps_per_epoch = data.steps_per_epoch(images, recipe.batch_size)
    execution = run.execution(steps_per_epoch, mode)
    settings = flat(recipe) | {
        "data": dataset.name,
        "seed": task.seed,
        "genotype": json.loads(genotype_text.to_json(task.genotype)),
        "space_sha256": task.space.digest,
    }
    if task.start is not None:
        settings["start"] = checkpoint.digest(task.start)
    if task.mesh is not None:
        settings["devices"] = task.mesh.size
    hyperparameters = Hyperparameters(
        **{name: getattr(recipe, name) for name in Hyperparameters._fields}
    )
    trainer = training.trainer(net, hyperparameters, steps_per_epoch)
    record = run.record(settings, execution, dataset.digest)
    return TrainingPlan(net, trainer, steps_per_epoch, execution, record)


def begin(task: TrainingTask, mode: str | None = None) -> Begun:
    """The steps and the first state of a training; nothing is compiled."""
    dataset, recipe = task.dataset, task.recipe
    planned = plan(task, mode)
    k_init, k_images = jax.random.split(jax.random.key(task.seed))
    image = jnp.zeros((1, *dataset.train.inputs.shape[1:]), jnp.float32)
    state = run.first_state(planned.trainer.init, k_init, image)
    if task.start is not None:
        state = state._replace(weights=task.start[0], stats=task.start[1])
    batch = data.make_batch(
        dataset.mean, dataset.std, augmentation(recipe, dataset), recipe.batch_size
    )

    train = planned.trainer.update
    train = train if task.mesh is None else sharding.over_batches(train, task.mesh)

    def update(state, images, key):
        return train(state, batch(images, key, state.step))

    images = data.to_device(data.merge_train(dataset))
    state, *operands = sharding.replicated((state, images, k_images), task.mesh)
    return Begun(planned, run.make_runner(update, tuple(operands), planned.execution.mode), state)


def train(
    task: TrainingTask,
    folder: Path,
    *,
    title: str,
    place: RunSettings,
    console: rich.console.Console,
    timed: bool = True,
    begun: Callable[[], Begun] | None = None,
) -> dict[str, Any]:
    """Trains on all training images and tests once; resumes from `folder`.

    Returns, and writes as `result.json`, `top1, top5, loss, ece, reliability, calibration,
    parameters, macs, digest` (of the final state), with `timed` also `latency_ms`; `network.json`
    goes beside it. Of a finished folder only what is missing is written. `begun()`: what was begun
    before, by default here. Raises as `run.claim` and `run.loop`.
    """
    dataset, shape = task.dataset, task.dataset.train.inputs.shape[1:]
    net, trainer, steps_per_epoch, execution, record = plan(task, place.mode)
    with run.claim(folder, record) as folder:
        network_record.write(folder, _network_record(task))
        if (folder / RESULT).exists():
            return _read(folder / RESULT)
        _, runner, state = begun() if begun else begin(task, place.mode)
        outcome = run.loop(
            run.Run(folder, record, execution, setup.checkpoints(place), console),
            runner,
            state,
            total_steps=task.recipe.epochs * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
            monitor=run.Monitor(title, FIGURES),
        )
        weights, stats = trainer.tested(outcome.state), outcome.state.stats
        if task.mesh is not None:  # networks are tested and timed on one device
            weights, stats = jax.device_put((weights, stats), jax.devices()[0])
        result = _scored(training.predict(net, weights, stats, dataset), dataset.test.labels)
        size = count.size(net, shape)
        result |= {"parameters": size.parameters, "macs": size.macs}
        if timed:
            result["latency_ms"] = timing.inference(net, weights, stats, shape).median
        result["digest"] = checkpoint.digest(outcome.state)
        run.write_text(folder / RESULT, json.dumps(result, indent=2) + "\n")
        return result


def _network_record(task: TrainingTask) -> network_record.NetworkRecord:
    source = None if task.source is None else dataclasses.asdict(task.source)
    return network_record.of_dataset(task.dataset, task.space.name, task.pruned, source)


def load_trained(
    task: TrainingTask, folder: Path, mode: str | None = None
) -> tuple[Weights, Stats]:
    """The weights that `train` tested, and the statistics. Raises CheckpointError."""
    trainer, record = plan(task, mode).trainer, plan(task, mode).record
    image = jnp.zeros((1, *task.dataset.train.inputs.shape[1:]), jnp.float32)
    template = run.first_state(trainer.init, jax.random.key(0), image)
    state, _ = checkpoint.read(folder / "checkpoints", template, run.fingerprint(record))
    return trainer.tested(state), state.stats


def _scored(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    scored = metrics.score(jnp.asarray(logits), jnp.asarray(labels))
    numbers = {name: float(getattr(scored, name)) for name in ("top1", "top5", "loss", "ece")}
    table = {name: np.asarray(v).tolist() for name, v in scored.reliability._asdict().items()}
    is_measurable = len(labels) > 1 and np.isfinite(logits).all()
    measured = calibration.of_logits(logits, labels) if is_measurable else None
    return numbers | {"reliability": table, "calibration": measured}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise run.RunError(
            f"Cannot read {path} ({error}): delete it, and the network is tested again."
        ) from error
