"""What is minimised: the summands of an objective."""

from collections.abc import Callable

import jax
import optax

from jaxnas.types import Forward, Scalar, Term


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
