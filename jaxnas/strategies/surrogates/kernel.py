"""Gaussian process regression with a squared exponential kernel.

Rasmussen & Williams 2006, chapters 2 and 5: k(a, b) = exp(-|a - b|^2 / (2 l^2)) and noise of a
variance relative to the signal's. Length and noise maximise the marginal likelihood on a grid.
"""

import jax.numpy as jnp
import numpy as np
import scipy.linalg

from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate, scale_of

# Our choice, both: lengths relative to the median distance of the fitted designs.
LENGTHS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)
LEAST_ROWS = 64


def kernel() -> Surrogate:
    """A Gaussian process of standardised values; its std leaves the noise out.

    O(n^3) for n fitted designs: fit for up to some thousand.
    """

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        scale = scale_of(y)
        target, squares = scale.scores(y), _squares(x, x)
        median = np.sqrt(np.median(squares[np.triu_indices(len(x), 1)])) if len(x) > 1 else 1.0
        best = max(
            (_evidence(squares, target, relative * (median or 1.0)) for relative in LENGTHS),
            key=lambda found: found[0],
        )
        _, length, noise, values, vectors = best
        inverse = vectors / (values + noise) @ vectors.T
        weights = inverse @ target
        signal = max(float(target @ weights) / len(x), 1e-12)
        of = lambda at: np.exp(-_squares(at, x) / (2 * length**2))

        def std(at: np.ndarray) -> np.ndarray:
            similarity = of(at)
            explained = ((similarity @ inverse) * similarity).sum(1)
            return scale.width * np.sqrt(signal * np.maximum(1 - explained, 0))

        mean = lambda at: scale.centre + scale.width * (of(at) @ weights)
        rows = max(LEAST_ROWS, 1 << (len(x) - 1).bit_length())
        parameters = {
            "x": np.pad(x, ((0, rows - len(x)), (0, 0))).astype(np.float32),
            "weights": np.pad(weights, (0, rows - len(x))).astype(np.float32),
            "inverse": np.pad(inverse, (0, rows - len(x))).astype(np.float32),
            "length": np.float32(length), "signal": np.float32(signal),
            "centre": np.float32(scale.centre), "width": np.float32(scale.width),
        }  # fmt: skip
        return Fitted(mean, std, traced, parameters)

    return fit


def traced(parameters, x):
    """(mean, std), f32[m] each, of features f32[m, F], for gradients with respect to them."""
    squares = ((x[:, None] - parameters["x"]) ** 2).sum(-1)
    similarity = jnp.exp(-squares / (2 * parameters["length"] ** 2))
    explained = ((similarity @ parameters["inverse"]) * similarity).sum(1)
    # The square root has no gradient at zero, which designs that were fitted reach.
    variance = jnp.maximum(parameters["signal"] * (1 - explained), 1e-8)
    mean = parameters["centre"] + parameters["width"] * (similarity @ parameters["weights"])
    return mean, parameters["width"] * jnp.sqrt(variance)


def _squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """f64[n, m]: squared distances."""
    return np.maximum((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T, 0)


def _evidence(squares: np.ndarray, target: np.ndarray, length: float) -> tuple:
    """(log marginal likelihood, length, noise, eigenvalues, eigenvectors) of the best noise.

    The signal's variance is the one that maximises the likelihood, in closed form.
    """
    values, vectors = scipy.linalg.eigh(np.exp(-squares / (2 * length**2)))
    values, projected = np.maximum(values, 0), (vectors.T @ target) ** 2
    found = []
    for noise in NOISES:
        signal = max(float((projected / (values + noise)).mean()), 1e-12)
        likelihood = -len(target) * np.log(signal) - np.log(values + noise).sum()
        found.append((likelihood / 2, length, noise, values, vectors))
    return max(found, key=lambda of_noise: of_noise[0])
