"""Self-distillation: earlier supernets of a search are teachers of the current one."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnas.core.types import Arch, Forward, Relaxation, Scalar, Supernet, Term, Weights


class Teachers(NamedTuple):
    """Earlier supernets: a ring buffer whose slot `count % teachers` is written next."""

    arch: Arch  # leaves [teachers, ...]
    weights: Weights  # leaves [teachers, ...]
    count: Scalar  # i32[], teachers so far


def self_distillation(
    net: Supernet,
    relaxation: Relaxation,
    *,
    every: int,
    weight: float | optax.Schedule,
    temperature: float,
    teachers: int = 3,
    vote: Literal["soft", "hard"] = "soft",
    start: int = 0,
) -> Term:
    """weight * temperature^2 * KL(votes of earlier supernets || this one's prediction), in nats.

    After every `every` steps the architecture and the weights become a teacher, of which the last
    `teachers` are kept; they predict by the statistics of the batch and get no gradient. Soft
    votes are mean probabilities at `temperature`; hard votes are the class that most teachers
    predict, ties going to the more probable one. Zero before step `start` and until there is a
    teacher. The memory holds `teachers` copies of the weights; teachers run one after another.

    After SD-DARTS, https://arxiv.org/abs/2302.05629, of which only abstracts are public: votes of
    earlier supernets are its idea, all else follows SAF (AngusDujw/SAF, whose weight is 0.3 and
    temperature 5) and is ours. Raises ValueError for settings out of range, and for a sole teacher
    after every step, which would be the student itself.
    """
    _check(every, weight, temperature, teachers, vote, start)
    weight_at = weight if callable(weight) else lambda step: weight

    def init(arch: Arch, weights: Weights) -> Teachers:
        empty_ring = lambda leaf: jnp.zeros((teachers, *leaf.shape), leaf.dtype)
        old_archs, old_weights = jax.tree.map(empty_ring, (arch, weights))
        return Teachers(old_archs, old_weights, jnp.zeros((), jnp.int32))

    def update(memory: Teachers, arch: Arch, weights: Weights, step: Scalar) -> Teachers:
        is_due = (step + 1) % every == 0
        slot = memory.count % teachers
        put = lambda ring, new: ring.at[slot].set(jnp.where(is_due, new, ring[slot]))
        old_archs, old_weights = jax.tree.map(put, (memory.arch, memory.weights), (arch, weights))
        return Teachers(old_archs, old_weights, memory.count + is_due.astype(jnp.int32))

    def predict(arch: Arch, weights: Weights, forward: Forward) -> jax.Array:
        gates = relaxation.expected(arch, weights, step=forward.step)
        return net.apply(weights, forward.stats, gates, forward.batch.inputs)[0]

    def distilled(memory: Teachers, forward: Forward) -> Scalar:
        memory = jax.lax.stop_gradient(memory)
        logits = jax.lax.map(
            lambda teacher: predict(teacher[0], teacher[1], forward), (memory.arch, memory.weights)
        )
        filled = jnp.arange(teachers) < memory.count
        target = _soft_vote(logits / temperature, filled)
        if vote == "hard":
            target = _hard_vote(logits, filled, target)
        student = jax.nn.log_softmax(forward.logits / temperature)
        return temperature**2 * jnp.mean(optax.kl_divergence(student, target))

    def value(memory: Teachers, forward: Forward) -> Scalar:
        is_active = (memory.count > 0) & (forward.step >= start)
        zero = lambda memory, forward: jnp.zeros((), forward.logits.dtype)
        return weight_at(forward.step) * jax.lax.cond(is_active, distilled, zero, memory, forward)

    return Term(init, value, update)


def _soft_vote(logits: jax.Array, filled: jax.Array) -> jax.Array:
    """f32[B, classes], the mean probabilities of the teachers so far."""
    shares = filled / filled.sum()
    return jnp.einsum("t,tbc->bc", shares.astype(logits.dtype), jax.nn.softmax(logits))


def _hard_vote(logits: jax.Array, filled: jax.Array, mean: jax.Array) -> jax.Array:
    """f32[B, classes], one-hot; `mean` breaks ties, as it is below one vote."""
    classes = logits.shape[-1]
    predicted = jax.nn.one_hot(jnp.argmax(logits, -1), classes, dtype=mean.dtype)
    votes = jnp.einsum("t,tbc->bc", filled.astype(mean.dtype), predicted)
    return jax.nn.one_hot(jnp.argmax(votes + mean / 2, -1), classes, dtype=mean.dtype)


def _check(
    every: int,
    weight: float | optax.Schedule,
    temperature: float,
    teachers: int,
    vote: str,
    start: int,
) -> None:
    if not (callable(weight) or weight > 0):
        raise ValueError(f"Distillation with weight {weight} has no effect: make it positive.")
    if not temperature > 0:
        raise ValueError(f"A temperature is positive, not {temperature}.")
    if teachers < 1 or every < 1 or start < 0:
        raise ValueError(
            "Distillation needs teachers >= 1, every >= 1 and start >= 0, "
            f"not {teachers}, {every} and {start}."
        )
    if teachers == every == 1:
        raise ValueError(
            "The last step's network is the student itself and teaches nothing: "
            "choose more teachers or every > 1."
        )
    if vote not in ("soft", "hard"):
        raise ValueError(f"Teachers vote 'soft' or 'hard', not {vote!r}.")
