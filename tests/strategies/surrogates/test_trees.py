"""Boosted trees: contributions that sum up, the same trees for the same seed."""

import numpy as np
import pytest

from jaxnas.strategies.surrogates import trees

RANDOM = np.random.default_rng(0)
X = (RANDOM.random((80, 6)) < 0.5).astype(float)
Y = X @ [3.0, 0, -2, 0, 0, 1] + X[:, 0] * X[:, 2]


def test_contributions_sum_to_the_predictions():
    found = trees.shapley(X, Y)
    fitted = trees._fit(X, Y, trees.ROUNDS, 31, 0.05, 0)
    np.testing.assert_allclose(found.sum(1), fitted.predict(X), rtol=0, atol=1e-9)
    # The last column is the mean prediction of the trees, the same for all.
    assert np.ptp(found[:, -1]) == 0
    mean = (found[:, :-1] * X).sum(0) / X.sum(0)
    assert mean[0] > 0.5 and mean[2] < -0.3
    assert np.abs(mean[[1, 3, 4]]).max() < 0.2


def test_learns_and_follows_the_random_numbers():
    fit = lambda seed: trees.trees()(X, Y, np.random.default_rng(seed)).mean(X)
    assert np.corrcoef(fit(0), Y)[0, 1] > 0.95
    np.testing.assert_array_equal(fit(0), fit(0))
    assert not np.array_equal(fit(0), fit(1))


def test_without_lightgbm_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(trees.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'jaxnas\[trees\]'"):
        trees.trees()
