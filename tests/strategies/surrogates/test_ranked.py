"""Ranked surrogates: scores of ranks, values given back, outliers without a pull."""

import numpy as np
import scipy.stats

from jaxnas.strategies.surrogates import ranked
from jaxnas.strategies.surrogates.ridge import ridge


def test_scores_are_the_normal_quantiles_of_the_ranks():
    scores = ranked.normal_scores(np.array([30.0, 10.0, 20.0]))
    np.testing.assert_allclose(scores, scipy.stats.norm.ppf([2.625 / 3.25, 0.625 / 3.25, 0.5]))
    assert np.ptp(ranked.normal_scores(np.ones(4))) == 0


def test_interpolation_goes_on_beyond_both_ends():
    x, y = np.array([0.0, 1.0, 2.0]), np.array([10.0, 12.0, 20.0])
    found = ranked.interpolated(np.array([-1.0, 0.5, 1.5, 4.0]), x, y)
    np.testing.assert_allclose(found, [5, 11, 16, 30])
    np.testing.assert_array_equal(ranked.interpolated(np.array([3.0]), x[:1], y[:1]), [10])


def test_predictions_are_in_the_unit_of_the_values():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3))
    score = x @ [1.0, 2.0, -1.0]
    fitted = ranked.ranked(ridge())(x, np.exp(score), random)  # whose ranks are those of `score`
    at = random.normal(size=(100, 3))
    truth = np.exp(at @ [1.0, 2.0, -1.0])
    inside = (truth > 0.05) & (truth < 20)
    np.testing.assert_allclose(np.log(fitted.mean(at)[inside]), np.log(truth[inside]), atol=0.5)
    assert (fitted.std(at) > 0).all()


def test_an_outlier_pulls_values_and_not_ranks():
    random = np.random.default_rng(0)
    x = random.normal(size=(60, 5))
    truth = x @ [1.0, 2.0, -1.0, 0.5, 3.0]
    y = np.where(np.arange(60) < 6, -1000, truth)  # a tenth of the networks failed to learn
    tau = lambda surrogate: scipy.stats.kendalltau(
        surrogate(x, y, random).mean(x[6:]), truth[6:]
    ).statistic  # fmt: skip
    assert tau(ranked.ranked(ridge())) > tau(ridge()) + 0.05
