"""Metrics of predictions: accuracy, loss and calibration of logits.

Calibration is measured as in Guo et al. 2017, https://arxiv.org/abs/1706.04599.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """f32[]: the fraction of labels i32[N] that have the highest of logits f32[N, classes]."""
    return jnp.mean(jnp.argmax(logits, -1) == labels, dtype=jnp.float32)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """f[]: the mean cross entropy, in nats, of logits f[N, classes] and labels i32[N]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


class Reliability(NamedTuple):
    """Accuracy by confidence, in bins of equal width over (0, 1].

    Bin i holds confidences in (i / bins, (i + 1) / bins]; an empty bin is all zeros.
    """

    confidence: jax.Array  # f32[bins]: mean of the highest probability
    accuracy: jax.Array  # f32[bins]: fraction right
    count: jax.Array  # i32[bins]


class Score(NamedTuple):
    """Metrics of a set of predictions."""

    top1: jax.Array  # fraction of labels that got the highest logit
    top5: jax.Array  # fraction among the five highest; 1 where there are at most 5 classes
    loss: jax.Array  # mean cross entropy, nats
    ece: jax.Array  # expected calibration error: count-weighted |accuracy - confidence|
    reliability: Reliability


def score(logits: jax.Array, labels: jax.Array, bins: int = 15) -> Score:
    """Scores logits f32[N, classes] against labels i32[N].

    Equal logits rank by index, the lowest first, as in `argmax`. A row with a logit that is
    not finite, or a label outside the classes, counts as wrong and makes the loss NaN.
    Half precision is computed in float32. Raises ValueError for shapes that do not match,
    no rows, or fewer than one bin.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not logits.size:
        raise ValueError(
            f"score needs logits [N, classes] and labels [N], both filled; "
            f"got {logits.shape} and {labels.shape}."
        )
    if bins < 1:
        raise ValueError(f"score needs at least one bin for calibration, got {bins}.")
    classes = logits.shape[1]
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    index = jnp.arange(classes)
    is_valid = (labels >= 0) & (labels < classes) & jnp.isfinite(logits).all(axis=1)
    clipped = jnp.clip(labels, 0, classes - 1)[:, None]
    of_label = jnp.take_along_axis(logits, clipped, axis=1)
    rank = ((logits > of_label) | ((logits == of_label) & (index < clipped))).sum(axis=1)
    log_probability = jax.nn.log_softmax(logits)
    losses = -jnp.take_along_axis(log_probability, clipped, axis=1)[:, 0]
    losses = jnp.where(is_valid, losses, jnp.nan)
    is_right = is_valid & (rank == 0)
    reliability = _reliability(jnp.exp(log_probability.max(axis=1)), is_right, bins)
    gap = jnp.abs(reliability.accuracy - reliability.confidence)
    return Score(
        top1=is_right.mean(dtype=logits.dtype),
        top5=(is_valid & (rank < 5)).mean(dtype=logits.dtype),
        loss=losses.mean(),
        ece=(gap * reliability.count).sum() / labels.shape[0],
        reliability=reliability,
    )


def _reliability(confidence: jax.Array, is_right: jax.Array, bins: int) -> Reliability:
    bin_of = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)
    total = lambda value: jax.ops.segment_sum(value, bin_of, num_segments=bins)
    count = total(jnp.ones_like(bin_of))
    mean = lambda value: total(value.astype(confidence.dtype)) / jnp.maximum(count, 1)
    return Reliability(mean(confidence), mean(is_right), count)
