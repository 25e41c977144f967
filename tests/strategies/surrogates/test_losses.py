"""Losses: a soft Kendall's tau against the hard one, Huber's against its formula."""

import jax
import numpy as np
import scipy.stats

from jaxnas.strategies.surrogates import losses

RANDOM = np.random.default_rng(0)
Y, ONES = RANDOM.normal(size=30), np.ones(30)
P = Y + RANDOM.normal(size=30)


def test_the_soft_tau_tends_to_tau_as_it_sharpens():
    tau = scipy.stats.kendalltau(P, Y).statistic
    errors = [
        abs(float(losses.soft_kendall(sharpness).of(P, Y, ONES)) + tau)
        for sharpness in (1.0, 10.0, 1e6)
    ]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6


def test_a_pair_in_the_wrong_order_has_a_gradient_that_turns_it():
    loss = losses.soft_kendall()
    slope = jax.grad(loss.of)(np.array([0.0, 1.0]), np.array([1.0, 0.0]), np.ones(2))
    assert slope[0] < 0 < slope[1]


def test_rows_without_weight_have_no_say():
    weights = np.concatenate([ONES, np.zeros(5)])
    pad = lambda of, value: np.concatenate([of, np.full(5, value)])
    for loss in (losses.squared(), losses.huber(), losses.soft_kendall()):
        np.testing.assert_allclose(
            loss.of(pad(P, 9.0), pad(Y, -9.0), weights), loss.of(P, Y, ONES), rtol=1e-5
        )


def test_huber_is_linear_beyond_delta():
    of = lambda error: float(losses.huber(2.0).of(np.array([error]), np.zeros(1), np.ones(1)))
    np.testing.assert_allclose([of(1.0), of(5.0)], [0.5, 2 * 5 - 2])
