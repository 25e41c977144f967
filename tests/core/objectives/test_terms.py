"""What is minimised, against hand-made numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.objectives import terms
from jaxnas.core.types import Batch, Forward, Term

LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
LABELS = np.array([0, 1])


def forward(step=0):
    batch = Batch(jnp.zeros((2, 1, 1, 1)), jnp.array(LABELS))
    return Forward(batch, jnp.array(LOGITS), {}, {}, jnp.array(step))


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_cross_entropy_is_the_mean_of_minus_log_probabilities(smoothing):
    targets = (1 - smoothing) * np.eye(3)[LABELS] + smoothing / 3
    expected = -(targets * log_softmax(LOGITS)).sum(1).mean()
    term = terms.cross_entropy(smoothing)
    assert term.value(term.init((), ()), forward()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_cross_entropy_refuses_an_impossible_smoothing(smoothing):
    with pytest.raises(ValueError, match="smoothing"):
        terms.cross_entropy(smoothing)


def test_weighted_follows_its_schedule():
    term = terms.weighted(terms.stateless(lambda f: 3.0), lambda step: 0.5 * step)
    assert [float(term.value((), forward(step))) for step in (0, 1, 4)] == [0.0, 1.5, 6.0]


def counting(start):
    """A term that is worth its count of updates."""
    return Term(
        init=lambda arch, weights: start,
        value=lambda memory, forward: memory,
        update=lambda memory, arch, weights, step: memory + weights,
    )


def test_total_sums_its_terms_and_keeps_each_memory_apart():
    term = terms.total(few=counting(1.0), many=counting(100.0), none=terms.cross_entropy())
    memory = term.init((), ())
    alone = terms.cross_entropy().value((), forward())
    assert term.value(memory, forward()) == pytest.approx(101.0 + alone)
    memory = term.update(memory, (), 2.0, 0)
    assert memory == {"few": 3.0, "many": 102.0, "none": ()}
    assert term.value(memory, forward()) == pytest.approx(105.0 + alone)


def test_weighted_keeps_the_memory_of_its_term():
    term = terms.weighted(counting(1.0), lambda step: 2.0)
    memory = term.update(term.init((), ()), (), 4.0, 0)
    assert term.value(memory, forward()) == 10.0


def test_total_refuses_to_sum_nothing():
    with pytest.raises(ValueError, match="at least one term"):
        terms.total()
