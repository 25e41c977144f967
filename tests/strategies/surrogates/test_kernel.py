"""The Gaussian process: against scikit-learn's, certain where it knows, the same for JAX."""

import jax
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from jaxnas.strategies.surrogates import kernel

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(40, 3))
Y = np.sin(X[:, 0]) + X[:, 1] ** 2 + 5
AT = RANDOM.normal(size=(20, 3))


@pytest.fixture
def one_kernel(monkeypatch):
    """A known length and noise in place of the grid."""
    monkeypatch.setattr(kernel, "LENGTHS", (1.0,))
    monkeypatch.setattr(kernel, "NOISES", (0.1,))


def test_equals_that_of_scikit_learn(one_kernel):
    fitted = kernel.kernel()(X, Y, RANDOM)
    squares = ((X[:, None] - X) ** 2).sum(-1)
    length = np.sqrt(np.median(squares[np.triu_indices(40, 1)]))
    scores = (Y - Y.mean()) / Y.std()
    signal = scores @ np.linalg.solve(np.exp(-squares / (2 * length**2)) + 0.1 * np.eye(40), scores)
    signal /= 40
    peer = GaussianProcessRegressor(
        ConstantKernel(signal) * RBF(length), alpha=0.1 * signal, optimizer=None
    ).fit(X, scores)
    mean, std = peer.predict(AT, return_std=True)
    np.testing.assert_allclose(fitted.mean(AT), Y.mean() + Y.std() * mean, rtol=1e-6)
    np.testing.assert_allclose(fitted.std(AT), Y.std() * std, rtol=1e-5)


def test_the_likelihood_chooses_little_noise_where_there_is_little():
    fitted = kernel.kernel()(X, Y, RANDOM)
    np.testing.assert_allclose(fitted.mean(X), Y, atol=0.2)
    noise = kernel.kernel()(X, RANDOM.normal(size=40), RANDOM)
    assert np.ptp(noise.mean(AT)) < 2
    assert fitted.std(X).mean() < fitted.std(10 + AT).mean() / 3


def test_jax_sees_the_same_function():
    fitted = kernel.kernel()(X, Y, RANDOM)
    mean, std = kernel.traced(fitted.parameters, AT.astype(np.float32))
    np.testing.assert_allclose(mean, fitted.mean(AT), rtol=1e-3)
    np.testing.assert_allclose(std, fitted.std(AT), rtol=2e-2)
    slope = jax.grad(lambda at: kernel.traced(fitted.parameters, at)[1].sum())(X.astype(np.float32))
    assert np.isfinite(slope).all()


def test_equal_designs_and_equal_values_are_no_error():
    fitted = kernel.kernel()(np.ones((4, 2)), np.ones(4), RANDOM)
    np.testing.assert_allclose(fitted.mean(np.ones((1, 2))), 1)
