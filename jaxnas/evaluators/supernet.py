"""How good a search network is on images it did not learn from, its gates as they are."""

from collections.abc import Callable, Mapping
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxnas.core import metrics
from jaxnas.core.types import Batch, Gates, Search, SearchState, Stats, Supernet
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.spaces.search_space import SearchSpace

Statistics = Literal["batch", "running", "recalibrated"]
# Of a running statistic 0.9^50, half a percent, is older than this.
RECALIBRATION_STEPS = 50


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

    `valid(images, step)` and `train(images, step)` give batches. Batch normalisation works by
    the statistics of each validation batch (`batch`, as architectures are judged while they
    are searched), by those that training left (`running`), or by those of RECALIBRATION_STEPS
    training batches passed through the present weights (`recalibrated`).
    """

    @jax.jit
    def right(state: SearchState, stats: Stats, gates: Gates, images, step) -> jax.Array:
        batch = valid(images, step)
        if statistics == "batch":
            logits, _ = net.apply(state.weights, stats, gates, batch.inputs)
        else:
            logits = net.infer(state.weights, stats, gates, batch.inputs)
        return metrics.accuracy(logits, batch.labels)

    @jax.jit
    def passed(state: SearchState, stats: Stats, gates: Gates, images, step) -> Stats:
        return net.apply(state.weights, stats, gates, train(images, step).inputs)[1]

    gates_of = jax.jit(search.gates)

    def measure(state: SearchState, train_images, valid_images) -> float:
        gates, stats = gates_of(state), state.stats
        if statistics == "recalibrated":
            for step in range(RECALIBRATION_STEPS):
                stats = passed(state, stats, gates, train_images, jnp.int32(step))
        found = [
            right(state, stats, gates, valid_images, jnp.int32(step)) for step in range(valid_steps)
        ]
        return float(jnp.mean(jnp.stack(found)))

    return measure


def shared_weights(
    space: SearchSpace, evaluate: Callable[[Gates], tuple[np.ndarray, np.ndarray]]
) -> Evaluator:
    """Accuracy and loss of genomes on the weights of a supernet.

    `evaluate` is that of a finished stage (`core.stages.StageResult`).
    """

    def figures(rows: np.ndarray) -> Mapping[str, np.ndarray]:
        accuracy, loss = evaluate(space.genome.one_hot(rows))
        return {"accuracy": np.asarray(accuracy), "loss": np.asarray(loss)}

    return Evaluator({"accuracy": True, "loss": False}, figures)
