"""How well a supernet orders architectures: many gates on its shared weights, against the truth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from jaxnas.core import metrics
from jaxnas.core.types import Batch, Gates, SearchState, Supernet

Statistics = Literal["batch", "running"]
# Fewer gates are padded to as many, so that rounds of 8, 7, 6, ... share one program.
LEAST = 64


def evaluator(
    net: Supernet,
    batch_of: Callable[[Any, jax.Array], Batch],
    steps: int,
    statistics: Statistics = "batch",
    at_once: int = 1,
) -> Callable[[SearchState, Gates, Any], tuple[np.ndarray, np.ndarray]]:
    """`(state, gates, images) -> (accuracy, loss)`, f32[n] each, of `f32[n, edges, candidates]`.

    Every gates' network is judged with the shared weights on the same `steps` batches,
    `batch_of(images, step)`; figures are means over batches, the accuracy a fraction, the loss in
    nats. Batch normalisation works by the statistics of each validation batch (`batch`) or by
    those that training left (`running`), which are of no single architecture.

    One program for all gates, called once a batch: it loops over them, `at_once` side by side,
    with the memory of one forward pass (of `at_once`). It is compiled again only where n passes a
    power of two.

    A supernet that computes every candidate spends on those with gate zero as on the others: a
    NAS-Bench-201 cell uses a fifth of the convolutions on average. A net that computes only the
    candidates of largest gate gives one-hot gates the same figures for less, provided that
    `at_once` is 1: side by side, every branch is computed.

    Raises ValueError for `steps` or `at_once` below one, unknown statistics, and, when called,
    for gates that are not those of the space with one leading axis.
    """
    if statistics not in ("batch", "running"):
        raise ValueError(f"Statistics are 'batch' or 'running', not {statistics!r}.")
    if steps < 1 or at_once < 1:
        raise ValueError(
            f"{steps} batches, {at_once} architectures at once: an evaluation needs one or more."
        )

    def judge(weights, stats, gates: Gates, batch: Batch) -> jax.Array:
        if statistics == "batch":
            logits, _ = net.apply(weights, stats, gates, batch.inputs)
        else:
            logits = net.infer(weights, stats, gates, batch.inputs)
        loss = metrics.cross_entropy(logits, batch.labels)
        return jnp.stack([metrics.accuracy(logits, batch.labels), loss.astype(jnp.float32)])

    @jax.jit
    def add(totals, weights, stats, gates: Gates, rounds, images, step):
        batch = batch_of(images, step)

        def some(i, totals):
            cut = lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, i * at_once, at_once)
            if at_once == 1:  # a vmap, even over one, would compute both sides of every cond
                one = jax.tree.map(lambda leaf: leaf[i], gates)
                judged = judge(weights, stats, one, batch)[None]
            else:
                every = jax.vmap(lambda one: judge(weights, stats, one, batch))
                judged = every(jax.tree.map(cut, gates))
            moved = jax.lax.dynamic_slice_in_dim(totals, i * at_once, at_once) + judged
            return jax.lax.dynamic_update_slice_in_dim(totals, moved, i * at_once, 0)

        # A trip count that is not static: what pads the gates is not evaluated.
        return jax.lax.fori_loop(0, rounds, some, totals)

    def evaluate(state: SearchState, gates: Gates, images: Any) -> tuple[np.ndarray, np.ndarray]:
        count = _count(net, gates)
        rounds = -(-count // at_once)
        room = at_once * max(-(-LEAST // at_once), 1 << (rounds - 1).bit_length())
        pad = lambda leaf: np.pad(leaf, ((0, room - count), (0, 0), (0, 0)), mode="edge")
        padded = {name: jnp.asarray(pad(np.asarray(gates[name]))) for name in net.space}
        totals = jnp.zeros((room, 2), jnp.float32)
        for step in range(steps):
            totals = add(
                totals, state.weights, state.stats, padded, rounds, images, jnp.int32(step)
            )
        accuracy, loss = np.asarray(totals)[:count].T / np.float32(steps)
        return accuracy, loss

    return evaluate


def _count(net: Supernet, gates: Gates) -> int:
    shapes = {name: np.shape(leaf) for name, leaf in gates.items()}
    counts = {shape[0] for shape in shapes.values() if shape}
    count = max(counts, default=0)
    expected = {name: (count, *shape) for name, shape in _shapes(net).items()}
    if not count or shapes != expected:
        wanted = ", ".join(f"{k!r}: [n, {e}, {c}]" for k, (e, c) in _shapes(net).items())
        raise ValueError(
            f"Gates of the shapes {shapes} are not {wanted}: stack those of one architecture or "
            "more along a leading axis."
        )
    return count


def _shapes(net: Supernet) -> dict[str, tuple[int, int]]:
    return {name: choice.shape for name, choice in net.space.items()}


class RankCorrelation(NamedTuple):
    """How a ranking by scores agrees with the truth; NaN where the scores are all equal."""

    kendall: float  # tau-b
    spearman: float
    regret: Mapping[int, float]  # k -> truth of the best less that of the best among the top k


def rank_correlation(
    scores: np.ndarray, truth: np.ndarray, top: Sequence[int] = (1, 10, 100)
) -> RankCorrelation:
    """Compares scores, f32[n], with the truth, f64[n]; in both, more is better.

    Equal scores are taken in the order given, so that the regret of a supernet that rates many
    cells alike hangs on it. A `top` above n is left out. Raises ValueError for fewer than two
    cells, other shapes, values that are not finite, and a `top` below one.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth, np.float64)
    if scores.ndim != 1 or scores.shape != truth.shape or len(scores) < 2:
        raise ValueError(
            f"Scores {scores.shape} and truth {truth.shape} are not two lists of equal length, "
            "two cells or more."
        )
    if not (np.isfinite(scores).all() and np.isfinite(truth).all()):
        raise ValueError(
            "Some scores or true values are not finite, so that they have no order: leave those "
            "cells out."
        )
    order = np.argsort(-scores, kind="stable")
    reached = np.maximum.accumulate(truth[order])
    regret = {k: float(truth.max() - reached[k - 1]) for k in _tops(top, len(truth))}
    if np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return RankCorrelation(float("nan"), float("nan"), regret)
    kendall = float(scipy.stats.kendalltau(scores, truth).statistic)
    return RankCorrelation(kendall, float(scipy.stats.spearmanr(scores, truth).statistic), regret)


def random_regret(truth: np.ndarray, top: Sequence[int] = (1, 10, 100)) -> dict[int, float]:
    """The mean top-k regret of a ranking at random, exactly: the null of `rank_correlation`.

    The best of k among n is the i-th smallest with probability C(i-1, k-1) / C(n, k).
    """
    ordered = np.sort(np.asarray(truth, np.float64))
    n, regret = len(ordered), {}
    for k in _tops(top, n):
        # From the best down: that it is drawn, or that it is not and the next one is, ...
        below = np.arange(n - k + 1)
        absent = np.cumprod((n - k - below) / (n - below))
        chances = np.concatenate([[1.0], absent[:-1]]) * k / (n - below)
        regret[k] = float(ordered[-1] - chances @ ordered[::-1][: n - k + 1])
    return regret


def _tops(top: Sequence[int], count: int) -> list[int]:
    if min(top, default=1) < 1:
        raise ValueError(f"The best {min(top)} cells are none: give k of 1 or more.")
    return [k for k in top if k <= count]
