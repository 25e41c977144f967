"""Terms: the summands of an objective, each with a separate memory."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.scipy import special

from jaxnas.core import metrics
from jaxnas.core.types import Forward, Scalar, Term


def stateless(value: Callable[[Forward], Scalar]) -> Term:
    """A term without a memory."""
    return Term(
        init=lambda arch, weights: (),
        value=lambda memory, forward: value(forward),
        update=lambda memory, arch, weights, step: memory,
    )


def cross_entropy(smoothing: float = 0.0) -> Term:
    """Mean cross-entropy over the batch, in nats, with label smoothing.

    Raises ValueError unless 0 <= smoothing < 1.
    """
    if not 0.0 <= smoothing < 1.0:
        raise ValueError(f"Label smoothing is {smoothing}: choose 0 <= smoothing < 1.")

    def value(forward: Forward) -> Scalar:
        logits, labels = forward.logits, forward.batch.labels
        if not smoothing:
            return metrics.cross_entropy(logits, labels)
        targets = jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
        return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, smoothing)).mean()

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
        value=lambda memory, forward: _sum(t.value(memory[n], forward) for n, t in terms.items()),
        update=lambda memory, arch, weights, step: {
            n: t.update(memory[n], arch, weights, step) for n, t in terms.items()
        },
    )


def mean_logsumexp() -> Term:
    """Mean over all edges of the log-sum-exp of their logits: beta-DARTS's decay, in nats.

    The architecture is one array of logits `f32[edges, candidates]` a choice. That edges of all
    choices count alike is one of two readings, and ours. beta-DARTS, https://arxiv.org/abs/2203.01665
    """

    def value(forward: Forward) -> Scalar:
        edges = [jax.nn.logsumexp(logits, axis=-1) for logits in forward.arch.values()]
        return jnp.mean(jnp.concatenate(edges))

    return stateless(value)


def zero_one() -> Term:
    """Minus the mean of (gate - 1/2)^2 over all gates: smallest where each is 0 or 1.

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

    return stateless(lambda forward: _sum(map(of_choice, forward.arch.values())))


def _sum(scalars: Iterable[Scalar]) -> Scalar:
    total: Any = sum(scalars)  # of one or more
    return total
