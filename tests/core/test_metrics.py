"""Scores against closed forms, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import metrics

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def logits_of(probabilities):
    return jnp.log(jnp.asarray(probabilities, jnp.float64))


def test_matches_a_hand_calculation():
    logits = logits_of([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]])
    labels = jnp.array([0, 1, 2, 0])
    result = metrics.score(logits, labels, bins=2)
    assert result.top1 == 0.5
    assert result.top5 == 1.0
    expected = -np.mean(np.log([0.7, 0.4, 0.8, 0.3]))
    np.testing.assert_allclose(result.loss, expected, rtol=1e-12)
    # 0.5 belongs to the lower bin (0, 0.5]; the others to (0.5, 1].
    np.testing.assert_array_equal(result.reliability.count, [1, 3])
    np.testing.assert_allclose(result.reliability.accuracy, [0.0, 2 / 3], rtol=1e-12)
    np.testing.assert_allclose(result.reliability.confidence, [0.5, 0.7], rtol=1e-12)
    np.testing.assert_allclose(result.ece, (0.5 + 3 * (0.7 - 2 / 3)) / 4, rtol=1e-12)


def test_uniform_logits_lose_log_classes_and_rank_by_index():
    labels = jnp.arange(20)
    result = metrics.score(jnp.zeros((20, 20), jnp.float64), labels)
    np.testing.assert_allclose(result.loss, np.log(20), rtol=1e-12)
    np.testing.assert_allclose(result.top1, 1 / 20, rtol=1e-12)
    np.testing.assert_allclose(result.top5, 5 / 20, rtol=1e-12)
    np.testing.assert_allclose(result.ece, 0.0, atol=1e-12)


def test_certain_and_wrong_is_as_badly_calibrated_as_can_be():
    logits = jnp.array([[500.0, 0.0], [500.0, 0.0]])
    result = metrics.score(logits, jnp.array([1, 1]))
    assert result.top1 == 0.0
    np.testing.assert_allclose(result.ece, 1.0, rtol=1e-12)
    np.testing.assert_allclose(result.loss, 500.0, rtol=1e-12)
    np.testing.assert_array_equal(result.reliability.count, [0] * 14 + [2])


def test_top5_counts_the_five_highest_of_many_classes():
    logits = jnp.broadcast_to(-jnp.arange(10.0), (10, 10))
    result = metrics.score(logits, jnp.arange(10))
    np.testing.assert_allclose(result.top1, 0.1, rtol=1e-12)
    np.testing.assert_allclose(result.top5, 0.5, rtol=1e-12)


def test_agrees_with_sorting_and_binning_written_out_in_numpy():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(500, 12)), rng.integers(0, 12, 500)
    result = metrics.score(jnp.asarray(logits), jnp.asarray(labels), bins=7)
    order = np.argsort(-logits, axis=1)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    right = order[:, 0] == labels
    ece = 0.0
    for low in range(7):
        inside = (probability.max(1) > low / 7) & (probability.max(1) <= (low + 1) / 7)
        assert result.reliability.count[low] == inside.sum()
        if inside.any():
            ece += abs(right[inside].mean() - probability.max(1)[inside].mean()) * inside.mean()
    np.testing.assert_allclose(result.top1, right.mean(), rtol=1e-12)
    np.testing.assert_allclose(result.top5, (order[:, :5] == labels[:, None]).any(1).mean())
    np.testing.assert_allclose(result.ece, ece, rtol=1e-9)


def test_gives_the_same_under_jit():
    logits = jax.random.normal(jax.random.key(0), (64, 10), jnp.float64)
    labels = jnp.arange(64) % 10
    plain, jitted = metrics.score(logits, labels), jax.jit(metrics.score)(logits, labels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), plain, jitted)


@pytest.mark.parametrize("label", [-1, 3])
def test_an_impossible_label_is_wrong_and_shows_in_the_loss(label):
    result = metrics.score(logits_of([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), jnp.array([label, 0]))
    assert np.isnan(result.loss)
    assert result.top1 == 0.5
    assert result.top5 == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_never_counts_as_right(bad):
    result = metrics.score(jnp.array([[bad, 0.0], [bad, bad]]), jnp.array([0, 0]))
    assert result.top1 == 0.0
    assert np.isnan(result.loss)


def test_half_precision_is_computed_in_float32():
    result = metrics.score(jnp.zeros((4, 3), jnp.bfloat16), jnp.zeros(4, jnp.int32))
    assert result.loss.dtype == jnp.float32
    np.testing.assert_allclose(result.loss, np.log(3), rtol=1e-6)


@pytest.mark.parametrize("shapes", [((4, 3), (3,)), ((4,), (4,)), ((0, 3), (0,))])
def test_refuses_shapes_that_do_not_match(shapes):
    with pytest.raises(ValueError, match="logits"):
        metrics.score(jnp.zeros(shapes[0]), jnp.zeros(shapes[1], jnp.int32))


def test_refuses_no_bins():
    with pytest.raises(ValueError, match="bin"):
        metrics.score(jnp.zeros((2, 2)), jnp.zeros(2, jnp.int32), bins=0)
