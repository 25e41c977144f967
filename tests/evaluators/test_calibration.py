"""Calibration: worked examples, closed forms, what temperature scaling may change."""

import numpy as np
import pytest

from jaxnas.evaluators import calibration


def test_three_bins_by_hand():
    confidence = np.array([0.3, 0.5, 0.6, 0.9])
    is_right = np.array([False, True, False, True])
    bin_of = calibration.equal_width(confidence, 3)
    np.testing.assert_array_equal(bin_of, [0, 1, 1, 2])
    # Gaps -0.3, (1 - 1.1) / 2 and 0.1, weighted by 1, 2 and 1 of 4.
    np.testing.assert_allclose(
        calibration.bin_gaps(confidence, is_right, bin_of), [-0.3, -0.05, 0.1]
    )
    error = calibration.expected_error(confidence, is_right, bin_of)
    assert error == pytest.approx((0.3 + 2 * 0.05 + 0.1) / 4)
    # Cumulative: -0.3, 0.2, -0.4, -0.3.
    assert calibration.kolmogorov_smirnov(confidence, is_right) == pytest.approx(0.1)


def test_bins_of_equal_mass_have_equal_counts():
    confidence = np.random.default_rng(0).random(100) ** 5
    np.testing.assert_array_equal(np.bincount(calibration.equal_mass(confidence, 10)), [10] * 10)
    counts = np.bincount(calibration.equal_mass(confidence[:97], 10))
    assert counts.max() - counts.min() == 1
    bin_of = calibration.equal_mass(confidence, 10)
    assert all(confidence[bin_of == i].max() <= confidence[bin_of == i + 1].min() for i in range(9))


def sampled(count, seed=0, sharpness=1.0):
    """Logits, and labels drawn from their softmax at that sharpness."""
    random = np.random.default_rng(seed)
    logits = 2 * random.normal(size=(count, 4))
    true = np.exp(sharpness * logits)
    true /= true.sum(1, keepdims=True)
    labels = (true.cumsum(1) < random.random((count, 1))).sum(1)
    return logits, labels


def test_a_calibrated_predictor_has_an_error_that_shrinks():
    few, many = (calibration.of_logits(*sampled(n))["ece"] for n in (300, 30000))
    assert many < 0.01 < few
    logits, labels = sampled(30000)
    assert calibration.temperature(logits, labels) == pytest.approx(1, abs=0.02)


def test_the_temperature_of_overconfident_logits_is_found():
    logits, labels = sampled(30000, sharpness=0.5)
    assert calibration.temperature(logits, labels) == pytest.approx(2, rel=0.03)
    figures = calibration.of_logits(logits, labels)
    assert figures["scaled_ece"] < 0.01 < 0.1 < figures["ece"]
    assert figures["scaled_brier"] < figures["brier"]


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 3.0])
def test_scaling_keeps_the_accuracy_and_never_raises_the_loss_it_is_fitted_to(sharpness):
    logits, labels = sampled(50, seed=3, sharpness=sharpness)
    found = calibration.temperature(logits, labels)
    np.testing.assert_array_equal((logits / found).argmax(1), logits.argmax(1))
    loss = lambda z: calibration.measures(np.exp(z) / np.exp(z).sum(1, keepdims=True), labels)[
        "nll"
    ]
    assert loss(logits / found) <= loss(logits)


def test_measures_of_certain_predictions():
    right = calibration.measures(np.eye(3), np.arange(3))
    assert all(right[name] == 0 for name in right)
    wrong = calibration.measures(np.eye(3), np.array([1, 2, 0]))
    assert wrong["ece"] == wrong["ece_maximum"] == 1 and wrong["brier"] == 2
    assert wrong["ece_class_wise"] == pytest.approx(2 / 3)


def test_logits_that_are_none_are_refused():
    with pytest.raises(ValueError, match="finite logits"):
        calibration.of_logits(np.full((2, 2), np.nan), np.zeros(2, int))
    with pytest.raises(ValueError, match="needs logits"):
        calibration.of_logits(np.zeros((2, 2)), np.zeros(3, int))
