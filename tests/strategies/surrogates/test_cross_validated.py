"""Several surrogates: the better one is taken, or a mixture that is no worse."""

import numpy as np

from jaxnas.strategies.surrogates.cross_validated import best_of, left_out, stacked
from jaxnas.strategies.surrogates.ridge import ridge
from jaxnas.strategies.surrogates.surrogate import Fitted

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5] + 7


def constant(value):
    return lambda x, y, random: Fitted(
        lambda at: np.full(len(at), value), lambda at: np.ones(len(at))
    )


def test_the_best_in_cross_validation_is_fitted():
    fitted = best_of(constant(7.0), ridge())(X, Y, np.random.default_rng(0))
    np.testing.assert_allclose(fitted.mean(X), Y, atol=0.05)
    fitted = best_of(constant(7.0), constant(9.0))(X, np.full(40, 8.9), np.random.default_rng(0))
    np.testing.assert_array_equal(fitted.mean(X), 9.0)


def test_no_row_is_predicted_by_a_model_that_saw_it():
    memory = lambda x, y, random: Fitted(
        lambda at: np.array([y[(x == row).all(1)].sum() for row in at]), None
    )
    np.testing.assert_array_equal(left_out([memory], X, Y, np.random.default_rng(0)), 0)


def test_a_mixture_weighs_what_predicts():
    half = lambda column, value: (
        lambda x, y, random: Fitted(lambda at: value * at[:, column], lambda at: np.zeros(len(at)))
    )
    y = X[:, 0] + X[:, 1]
    fitted = stacked(half(0, 2.0), half(1, 2.0), constant(0.0))(X, y, np.random.default_rng(0))
    np.testing.assert_allclose(fitted.mean(X), y, atol=0.2)
    assert (fitted.std(X) >= 0).all()
