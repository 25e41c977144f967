"""Evaluation with the shared weights of a supernet: of its current gates, and of many networks."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas import data
from jaxnas.core import metrics
from jaxnas.core.types import Batch, Gates, Search, SearchState, Stats, Supernet
from jaxnas.evaluators.evaluator import Evaluator, Figures
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

Statistics = Literal["batch", "running", "recalibrated"]
# Of a running statistic 0.9^50, half a percent, is older than this.
RECALIBRATION_STEPS = 50
# Fewer gates are padded to as many, so that rounds of 8, 7, 6, ... share one program.
MIN_ROWS = 64


class Scoring(NamedTuple):
    """The validation images by which the weights that networks share are judged."""

    images: int | None = None  # None: all
    batch_size: int | None = None  # None: that of the search


def scoring_steps(scoring: Scoring, count: int, batch_size: int) -> int:
    """How many batches a scoring has, of a half of `count` images and a search of `batch_size`.

    Raises ValueError for more images than the half has, and for less than a batch.
    """
    if scoring.images is not None and scoring.images > count:
        raise ValueError(f"{scoring.images} images cannot judge: the validation half has {count}.")
    return data.steps_per_epoch(scoring.images or count, scoring.batch_size or batch_size)


def accuracy(
    net: Supernet,
    search: Search,
    statistics: Statistics,
    *,
    valid: Callable[..., Batch],
    train: Callable[..., Batch],
    valid_steps: int,
) -> Callable[..., float]:
    """`(state, train images, valid images) -> fraction right`, batch by batch.

    `valid(images, step)` and `train(images, step)` give batches. Batch normalisation uses the
    statistics of each validation batch (`batch`, as during a search), the running ones of training
    (`running`), or those of RECALIBRATION_STEPS training batches with the current weights
    (`recalibrated`).
    """

    @jax.jit
    def batch_accuracy(state: SearchState, stats: Stats, gates: Gates, images, step) -> jax.Array:
        batch = valid(images, step)
        if statistics == "batch":
            logits, _ = net.apply(state.weights, stats, gates, batch.inputs)
        else:
            logits = net.infer(state.weights, stats, gates, batch.inputs)
        return metrics.accuracy(logits, batch.labels)

    @jax.jit
    def recalibrated(state: SearchState, stats: Stats, gates: Gates, images, step) -> Stats:
        return net.apply(state.weights, stats, gates, train(images, step).inputs)[1]

    gates_of = jax.jit(search.gates)

    def measure(state: SearchState, train_images, valid_images) -> float:
        gates, stats = gates_of(state), state.stats
        if statistics == "recalibrated":
            for step in range(RECALIBRATION_STEPS):
                stats = recalibrated(state, stats, gates, train_images, jnp.int32(step))
        accuracies = [
            batch_accuracy(state, stats, gates, valid_images, jnp.int32(step))
            for step in range(valid_steps)
        ]
        return float(jnp.mean(jnp.stack(accuracies)))

    return measure


def evaluator(
    net: Supernet,
    batch_of: Callable[[Any, jax.Array], Batch],
    steps: int,
    statistics: Literal["batch", "running"] = "batch",
    at_once: int = 1,
) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """`(state, gates, images, batches=steps) -> (accuracy, loss)`: f32[n] of gates f32[n, edges,
    candidates].

    Every network is evaluated with the shared weights on the same batches, `batch_of(images, step)`
    of the first `batches` steps; figures are means over batches, the accuracy a fraction, the loss
    in nats. Batch normalisation uses the statistics of each validation batch (`batch`) or the
    running ones of training (`running`), which are of no single architecture.

    One program for all gates, called once a batch: it loops over them, `at_once` side by side,
    with the memory of one forward pass (of `at_once`). It is compiled again only where n passes a
    power of two.

    A supernet that computes every candidate computes those with gate zero, too: a NAS-Bench-201
    cell uses a fifth of the convolutions on average. A net that computes only the candidates with
    the largest gates has the same figures at one-hot gates for less, provided that `at_once` is 1:
    under vmap every branch is computed.

    Raises ValueError for `steps` or `at_once` below one, unknown statistics, and, when called,
    for batches beyond `steps` and for gates that are not those of the space with one leading axis.
    """
    if statistics not in ("batch", "running"):
        raise ValueError(f"Statistics are 'batch' or 'running', not {statistics!r}.")
    if steps < 1 or at_once < 1:
        raise ValueError(
            f"{steps} batches, {at_once} architectures at once: an evaluation needs one or more."
        )

    def evaluate_one(weights, stats, gates: Gates, batch: Batch) -> jax.Array:
        if statistics == "batch":
            logits, _ = net.apply(weights, stats, gates, batch.inputs)
        else:
            logits = net.infer(weights, stats, gates, batch.inputs)
        loss = metrics.cross_entropy(logits, batch.labels)
        return jnp.stack([metrics.accuracy(logits, batch.labels), loss.astype(jnp.float32)])

    @jax.jit
    def add(totals, weights, stats, gates: Gates, rounds, images, step):
        batch = batch_of(images, step)

        def add_round(i, totals):
            slice_of = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, i * at_once, at_once)
            if at_once == 1:  # a vmap, even over one, would compute both sides of every cond
                gates_i = jax.tree.map(lambda leaf: leaf[i], gates)
                figures = evaluate_one(weights, stats, gates_i, batch)[None]
            else:
                evaluate_all = jax.vmap(lambda gates: evaluate_one(weights, stats, gates, batch))
                figures = evaluate_all(jax.tree.map(slice_of, gates))
            return jax.lax.dynamic_update_slice_in_dim(
                totals, slice_of(totals) + figures, i * at_once, 0
            )

        # A trip count that is not static: padding is not evaluated.
        return jax.lax.fori_loop(0, rounds, add_round, totals)

    def evaluate(
        state: SearchState, gates: Gates, images: Any, batches: int = steps
    ) -> tuple[np.ndarray, np.ndarray]:
        if not 1 <= batches <= steps:
            raise ValueError(f"{batches} batches cannot judge: there are {steps}.")
        count = _count(net, gates)
        rounds = -(-count // at_once)
        room = at_once * max(-(-MIN_ROWS // at_once), 1 << (rounds - 1).bit_length())
        pad = lambda leaf: np.pad(leaf, ((0, room - count), (0, 0), (0, 0)), mode="edge")
        padded = {name: jnp.asarray(pad(np.asarray(gates[name]))) for name in net.space}
        totals = jnp.zeros((room, 2), jnp.float32)
        for step in range(batches):
            totals = add(
                totals, state.weights, state.stats, padded, rounds, images, jnp.int32(step)
            )
        accuracy, loss = np.asarray(totals)[:count].T / np.float32(batches)
        return accuracy, loss

    return evaluate


def _count(net: Supernet, gates: Gates) -> int:
    shapes = {name: np.shape(leaf) for name, leaf in gates.items()}
    counts = {shape[0] for shape in shapes.values() if shape}
    count = max(counts, default=0)
    expected = {name: (count, *choice.shape) for name, choice in net.space.items()}
    if not count or shapes != expected:
        text = ", ".join(f"{k!r}: [n, {e}, {c}]" for k, (_, e, c) in expected.items())
        raise ValueError(
            f"Gates of the shapes {shapes} are not {text}: stack those of one architecture or "
            "more along a leading axis."
        )
    return count


def shared_weights(
    space: SearchSpace, evaluate: Callable[[Gates], tuple[np.ndarray, np.ndarray]]
) -> Evaluator:
    """Accuracy and loss of genotypes on the weights of a supernet, a batch of them at once.

    `evaluate` is that of a finished stage (`core.stages.StageResult`).
    """

    def figures(genotypes: Sequence[Genotype], seeds: Sequence[int]) -> list[Figures]:
        rows = np.array([space.genome.encode(genotype) for genotype in genotypes])
        results = zip(*evaluate(space.genome.one_hot(rows)), strict=True)
        return [{"accuracy": float(a), "loss": float(loss)} for a, loss in results]

    return Evaluator({"accuracy": True, "loss": False}, figures, at_once=MIN_ROWS)
