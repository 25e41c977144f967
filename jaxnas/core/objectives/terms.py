"""What is minimised: the summands of an objective."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy import special

from jaxnas.core.types import Arch, Forward, Relaxation, Scalar, Supernet, Term, Weights


def stateless(value: Callable[[Forward], Scalar]) -> Term:
    """A term without a memory."""
    return Term(
        init=lambda arch, weights: (),
        value=lambda memory, forward: value(forward),
        update=lambda memory, arch, weights, step: memory,
    )


def cross_entropy(smoothing: float = 0.0) -> Term:
    """Mean cross-entropy over the batch, in nats, with smoothed labels if asked.

    Raises ValueError unless 0 <= smoothing < 1.
    """
    if not 0.0 <= smoothing < 1.0:
        raise ValueError(f"Label smoothing is {smoothing}: choose 0 <= smoothing < 1.")

    def value(forward: Forward) -> Scalar:
        logits, labels = forward.logits, forward.batch.labels
        if not smoothing:
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        else:
            targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
            targets = optax.smooth_labels(targets, smoothing)
            losses = optax.softmax_cross_entropy(logits, targets)
        return losses.mean()

    return stateless(value)


def weighted(term: Term, weight: optax.Schedule) -> Term:
    """`weight(step) * term`."""
    return term._replace(
        value=lambda memory, forward: weight(forward.step) * term.value(memory, forward)
    )


def total(**terms: Term) -> Term:
    """The sum of named terms; each keeps its memory under its name.

    Raises ValueError without terms.
    """
    if not terms:
        raise ValueError("An objective needs at least one term.")
    return Term(
        init=lambda arch, weights: {n: t.init(arch, weights) for n, t in terms.items()},
        value=lambda memory, forward: sum(t.value(memory[n], forward) for n, t in terms.items()),
        update=lambda memory, arch, weights, step: {
            n: t.update(memory[n], arch, weights, step) for n, t in terms.items()
        },
    )


def mean_logsumexp() -> Term:
    """Mean over all edges of the log-sum-exp of their logits: beta-DARTS's decay, in nats.

    The architecture is one array of logits `f32[edges, candidates]` a choice; that edges of all
    choices count alike is our reading of two. beta-DARTS, https://arxiv.org/abs/2203.01665
    """

    def value(forward: Forward) -> Scalar:
        edges = [jax.nn.logsumexp(logits, axis=-1) for logits in forward.arch.values()]
        return jnp.mean(jnp.concatenate(edges))

    return stateless(value)


def zero_one() -> Term:
    """Minus the mean of (gate - 1/2)^2 over all gates: least where each is 0 or 1.

    FairDARTS's L_0-1, eq. 6, https://arxiv.org/abs/1911.12126
    """

    def value(forward: Forward) -> Scalar:
        gates = jnp.concatenate([gate.reshape(-1) for gate in forward.gates.values()])
        return -jnp.mean((gates - 0.5) ** 2)

    return stateless(value)


def dirichlet_divergence(concentration: Callable[[jax.Array], jax.Array]) -> Term:
    """KL(Dirichlet(concentration(logits)) || Dirichlet(1)), summed over all edges, in nats.

    DrNAS, https://arxiv.org/abs/2006.10355; summed as in xiangning-chen/DrNAS
    DARTS-space/model_search.py.
    """

    def of_choice(logits: jax.Array) -> Scalar:
        c = concentration(logits)
        total, count = c.sum(-1), c.shape[-1]
        log_densities = special.gammaln(total) - special.gammaln(c).sum(-1)
        spread = (c - 1) * (special.digamma(c) - special.digamma(total)[:, None])
        return jnp.sum(log_densities - special.gammaln(float(count)) + spread.sum(-1))

    return stateless(lambda forward: sum(map(of_choice, forward.arch.values())))


class Teachers(NamedTuple):
    """Earlier supernets: a ring whose slot `count % teachers` is written next."""

    arch: Arch  # leaves [teachers, ...]
    weights: Weights  # leaves [teachers, ...]
    count: Scalar  # i32[], taken so far


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
    """weight * temperature^2 * KL(what earlier supernets vote || what this one says), in nats.

    After every `every` steps architecture and weights become a teacher; the last `teachers` of
    them look at the batch by its own statistics and get no gradient. Soft votes are mean
    probabilities at `temperature`; hard votes are the class that most teachers name, ties going
    to the more probable one. Zero before step `start` and until there is a teacher. The memory
    holds `teachers` copies of the weights; teachers are run one after another.

    After SD-DARTS, https://arxiv.org/abs/2302.05629, of which only abstracts are public: votes of
    earlier supernets are its idea, all else follows SAF (AngusDujw/SAF, whose weight is 0.3 and
    temperature 5) and is ours. Raises ValueError for settings out of range, and for a sole teacher
    after every step, which would be the student itself.
    """
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
    weight_at = weight if callable(weight) else lambda step: weight

    def init(arch: Arch, weights: Weights) -> Teachers:
        blank = lambda leaf: jnp.zeros((teachers, *leaf.shape), leaf.dtype)
        return Teachers(*jax.tree.map(blank, (arch, weights)), jnp.zeros((), jnp.int32))

    def update(memory: Teachers, arch: Arch, weights: Weights, step: Scalar) -> Teachers:
        taken = (step + 1) % every == 0
        slot = memory.count % teachers
        put = lambda ring, new: ring.at[slot].set(jnp.where(taken, new, ring[slot]))
        rings = jax.tree.map(put, (memory.arch, memory.weights), (arch, weights))
        return Teachers(*rings, memory.count + taken.astype(jnp.int32))

    def teach(arch: Arch, weights: Weights, forward: Forward) -> jax.Array:
        if relaxation.expected is None:
            gates = relaxation.gates(arch, weights, key=None, step=forward.step)
        else:
            gates = relaxation.expected(arch, weights, step=forward.step)
        return net.apply(weights, forward.stats, gates, forward.batch.inputs)[0]

    def distilled(memory: Teachers, forward: Forward) -> Scalar:
        memory = jax.lax.stop_gradient(memory)
        logits = jax.lax.map(
            lambda teacher: teach(*teacher, forward), (memory.arch, memory.weights)
        )
        filled = jnp.arange(teachers) < memory.count
        target = _soft_vote(logits / temperature, filled)
        if vote == "hard":
            target = _hard_vote(logits, filled, target)
        said = jax.nn.log_softmax(forward.logits / temperature)
        return temperature**2 * jnp.mean(optax.kl_divergence(said, target))

    def value(memory: Teachers, forward: Forward) -> Scalar:
        live = (memory.count > 0) & (forward.step >= start)
        nothing = lambda memory, forward: jnp.zeros((), forward.logits.dtype)
        return weight_at(forward.step) * jax.lax.cond(live, distilled, nothing, memory, forward)

    return Term(init, value, update)


def _soft_vote(logits: jax.Array, filled: jax.Array) -> jax.Array:
    """f32[B, classes], the mean probabilities of the teachers that are there."""
    shares = filled / filled.sum()
    return jnp.einsum("t,tbc->bc", shares.astype(logits.dtype), jax.nn.softmax(logits))


def _hard_vote(logits: jax.Array, filled: jax.Array, mean: jax.Array) -> jax.Array:
    """f32[B, classes], one-hot; `mean` decides ties, as it is too small to turn a vote."""
    classes = logits.shape[-1]
    named = jax.nn.one_hot(jnp.argmax(logits, -1), classes, dtype=mean.dtype)
    votes = jnp.einsum("t,tbc->bc", filled.astype(mean.dtype), named)
    return jax.nn.one_hot(jnp.argmax(votes + mean / 2, -1), classes, dtype=mean.dtype)
