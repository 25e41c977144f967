"""A genotype to a trained network and its score."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich.console

from jaxnas import data, run
from jaxnas.core import metrics as core_metrics
from jaxnas.core import schedules as searches
from jaxnas.core.types import Batch, Key, Network, Scalar, Stats, Weights
from jaxnas.hardware import timing
from jaxnas.nets import count
from jaxnas.pipelines.settings import Recipe, flat
from jaxnas.run import checkpoint
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces import registry
from jaxnas.spaces.genotype import Genotype

RESULT = "result.json"
TEST_BATCH = 500
FIGURES = (
    ("loss", "loss/train", ".3f"),
    ("train acc", "accuracy/train", ".1%"),
)


class TrainState(NamedTuple):
    step: Scalar  # i32[]
    key: Key  # fixed: keys come by fold_in(key, step)
    weights: Weights
    stats: Stats
    opt: optax.OptState
    average: Weights  # of the weights, from zero; () where none is kept


class Trainer(NamedTuple):
    """`update(state, batch)` is one step; `tested(state)` gives the weights to be tested."""

    init: Callable[[Key, jax.Array], TrainState]
    update: Callable[[TrainState, Batch], tuple[TrainState, dict[str, Scalar]]]
    tested: Callable[[TrainState], Weights]


def trainer(net: Network, recipe: Recipe, steps_per_epoch: int) -> Trainer:
    """The training of `net` by a resolved recipe. DARTS, section 3.1; quark0/darts cnn/train.py.

    Metrics: `loss/train` (without the auxiliary head's part), `accuracy/train`.
    """
    rate = searches.cosine_by_epoch(
        recipe.learning_rate, 0, epochs=recipe.epochs, steps_per_epoch=steps_per_epoch
    )
    tx = optax.chain(
        optax.clip_by_global_norm(recipe.clip_norm),
        optax.add_decayed_weights(recipe.weight_decay),
        optax.sgd(rate, momentum=0.9),
    )

    def init(key: Key, inputs: jax.Array) -> TrainState:
        k_net, k_steps = jax.random.split(key)
        weights, stats = net.init(k_net, inputs)
        average = optax.tree.zeros_like(weights) if recipe.ema else ()
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero, k_steps, weights, stats, tx.init(weights), average)

    def loss(weights, state: TrainState, batch: Batch):
        drop_path = None
        if recipe.drop_path:
            drop_path = recipe.drop_path * (state.step // steps_per_epoch) / recipe.epochs
        key = jax.random.fold_in(state.key, state.step)
        (logits, extra), stats = net.apply(weights, state.stats, batch.inputs, key, drop_path)
        entropy = lambda logits: jnp.mean(
            optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        )
        own = entropy(logits)
        total = own if extra is None else own + recipe.auxiliary * entropy(extra)
        accuracy = jnp.mean(jnp.argmax(logits, -1) == batch.labels, dtype=jnp.float32)
        return total, (stats, {"loss/train": own, "accuracy/train": accuracy})

    def update(state: TrainState, batch: Batch):
        judge = jax.grad(loss, has_aux=True)
        grads, (stats, metrics) = judge(state.weights, state, batch)
        updates, opt = tx.update(grads, state.opt, state.weights)
        weights = optax.apply_updates(state.weights, updates)
        average = state.average
        if recipe.ema:
            average = optax.tree.update_moment(weights, average, recipe.ema, 1)
        step = state.step + 1
        return TrainState(step, state.key, weights, stats, opt, average), metrics

    def tested(state: TrainState) -> Weights:
        if not recipe.ema:
            return state.weights
        return optax.tree.bias_correction(state.average, recipe.ema, state.step)

    return Trainer(init, update, tested)


def augmentation(recipe: Recipe, found: data.DataSet) -> data.augment.Augment:
    """What a resolved recipe does to training images."""
    return augment(found, recipe.pad, recipe.flip, recipe.cutout)


def augment(found: data.DataSet, pad: int, flip: bool, cutout: int) -> data.augment.Augment:
    """Framed in black and cropped, mirrored, cut out: in the order of the DARTS code."""
    parts = []
    if pad:
        parts.append(data.augment.pad_crop(pad, data.augment.black(found.mean, found.std)))
    if flip:
        parts.append(data.augment.flip())
    if cutout:
        parts.append(data.augment.cutout(cutout))
    return data.augment.chain(*parts) if parts else data.augment.none()


def network(entry: registry.Entry, genotype: Genotype, recipe: Recipe, classes: int) -> Network:
    """The network that a resolved recipe makes of a genotype."""
    return entry.network(
        genotype,
        features=recipe.features,
        cells=recipe.cells,
        classes=classes,
        reductions=recipe.reductions,
        auxiliary=recipe.auxiliary > 0,
    )


def check(entry: registry.Entry, genotype: Genotype, recipe: Recipe, found: data.DataSet) -> None:
    """Raises ValueError where a resolved recipe cannot train a genotype on these images.

    Nothing is computed: call it before a search whose cell is to be trained so.
    """
    net = network(entry, genotype, recipe, len(found.class_names))
    inputs = jax.ShapeDtypeStruct((recipe.batch_size, *found.train.inputs.shape[1:]), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    jax.eval_shape(net.init, key, inputs)
    jax.eval_shape(augmentation(recipe, found), key, inputs)
    data.steps_per_epoch(len(found.train.labels) + len(found.valid.labels), recipe.batch_size)


class TrainingPlan(NamedTuple):
    """A training that may have been begun before."""

    net: Network
    training: Trainer
    steps_per_epoch: int
    execution: run.Execution
    record: dict[str, Any]  # of its folder


def plan(
    entry: registry.Entry,
    genotype: Genotype,
    recipe: Recipe,
    seed: int,
    found: data.DataSet,
    *,
    mode: str | None = None,
    start: tuple[Weights, Stats] | None = None,
) -> TrainingPlan:
    """How a resolved recipe trains a genotype, from `start` or from weights drawn by `seed`."""
    net = network(entry, genotype, recipe, len(found.class_names))
    steps_per_epoch = data.steps_per_epoch(len(data.merge_train(found).labels), recipe.batch_size)
    execution = run.execution(steps_per_epoch, mode)
    settings = flat(recipe) | {
        "data": found.name,
        "seed": seed,
        "genotype": json.loads(genotypes.to_json(genotype)),
        "space_sha256": entry.digest,
    }
    if start is not None:
        settings["start"] = checkpoint.digest(start)
    record = run.record(settings, execution, found.digest)
    return TrainingPlan(
        net, trainer(net, recipe, steps_per_epoch), steps_per_epoch, execution, record
    )


def train(
    entry: registry.Entry,
    genotype: Genotype,
    recipe: Recipe,
    seed: int,
    found: data.DataSet,
    *,
    folder: Path,
    title: str,
    saving: run.SavePolicy,
    mode: str | None,
    console: rich.console.Console,
    timed: bool = True,
    start: tuple[Weights, Stats] | None = None,
) -> dict[str, Any]:
    """Trains on all training images and tests once; goes on where `folder` was left.

    Gives, and writes as `result.json`, `top1, top5, loss, ece, reliability, parameters, macs,
    digest` (of the final state), with `timed` also `latency_ms`; a finished folder is only
    read. `start` are weights and statistics to begin with in the place of random ones. Raises
    what `run.claim` and `run.loop` raise.
    """
    images, shape = data.merge_train(found), found.train.inputs.shape[1:]
    planned = plan(entry, genotype, recipe, seed, found, mode=mode, start=start)
    net, training, steps_per_epoch, execution, record = planned
    with run.claim(folder, record) as folder:
        if (folder / RESULT).exists():
            return _read(folder / RESULT)
        k_init, k_images = jax.random.split(jax.random.key(seed))
        state = run.init_compiled(training.init, k_init, jnp.zeros((1, *shape), jnp.float32))
        if start is not None:
            state = state._replace(weights=start[0], stats=start[1])
        batch = data.make_batch(
            found.mean, found.std, augmentation(recipe, found), recipe.batch_size
        )
        outcome = run.loop(
            lambda state, images, key: training.update(state, batch(images, key, state.step)),
            state,
            folder=folder,
            record=record,
            total_steps=recipe.epochs * steps_per_epoch,
            steps_per_epoch=steps_per_epoch,
            execution=execution,
            operands=(data.to_device(images), k_images),
            saving=saving,
            title=title,
            figures=FIGURES,
            console=console,
        )
        weights = training.tested(outcome.state)
        logits = predict(net, weights, outcome.state.stats, found)
        result = _scored(logits, found.test.labels)
        size = count.size(net, shape)
        result |= {"parameters": size.parameters, "macs": size.macs}
        if timed:
            result["latency_ms"] = timing.inference(net, weights, outcome.state.stats, shape).median
        result["digest"] = checkpoint.digest(outcome.state)
        run.write_text(folder / RESULT, json.dumps(result, indent=2) + "\n")
        return result


def trained(planned: TrainingPlan, found: data.DataSet, folder: Path) -> tuple[Weights, Stats]:
    """The weights that `train` tested in the end, and the statistics. Raises CheckpointError."""
    image = jnp.zeros((1, *found.train.inputs.shape[1:]), jnp.float32)
    like = run.init_compiled(planned.training.init, jax.random.key(0), image)
    fingerprint = run.fingerprint(planned.record)
    state, _ = checkpoint.read(folder / "checkpoints", like, fingerprint)
    return planned.training.tested(state), state.stats


def predict(net: Network, weights: Weights, stats: Stats, found: data.DataSet) -> np.ndarray:
    """f32[N, classes]: the logits of the test images, batch by batch."""
    inputs = found.test.inputs
    size = min(TEST_BATCH, len(inputs))

    @jax.jit
    def infer(weights, stats, pixels):
        return net.infer(weights, stats, data.normalise(pixels, found.mean, found.std))

    logits = []
    for start in range(0, len(inputs), size):
        # The last batch is filled up with images seen before, so that one program does.
        rows = np.minimum(np.arange(start, start + size), len(inputs) - 1)
        logits.append(np.asarray(infer(weights, stats, inputs[rows])))
    return np.concatenate(logits)[: len(inputs)]


def _scored(logits: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    scored = core_metrics.score(jnp.asarray(logits), jnp.asarray(labels))
    numbers = {name: float(getattr(scored, name)) for name in ("top1", "top5", "loss", "ece")}
    table = {name: np.asarray(v).tolist() for name, v in scored.reliability._asdict().items()}
    return numbers | {"reliability": table}


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise run.RunError(
            f"Cannot read {path} ({error}): delete it, and the network is tested again."
        ) from error
