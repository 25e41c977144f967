"""Several surrogates as one: the best of them, or a mixture, by cross-validation."""

from collections.abc import Sequence

import numpy as np
import scipy.optimize

from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate

FOLDS = 5


def best_of(*surrogates: Surrogate) -> Surrogate:
    """The surrogate with the least squared error in cross-validation, fitted to all.

    LINAS takes the better of ridge regression and a support vector machine like this:
    https://arxiv.org/abs/2205.10358.
    """

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        errors = ((left_out(surrogates, x, y, random) - y[:, None]) ** 2).mean(0)
        return surrogates[int(errors.argmin())](x, y, random)

    return fit


def stacked(*surrogates: Surrogate) -> Surrogate:
    """A weighted mean, weights at least zero of the least squared error in cross-validation.

    Breiman 1996, Stacked regressions, https://doi.org/10.1007/BF00117832. Its std is the root mean
    square, so weighted, of the models' own and of their distance from the mean.
    """

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        centre = y.mean()
        weights, _ = scipy.optimize.nnls(left_out(surrogates, x, y, random) - centre, y - centre)
        total = weights.sum()
        # Where no model predicts anything, all count equally.
        weights = weights / total if total > 0 else np.full(len(weights), 1 / len(weights))
        models = [surrogate(x, y, random) for surrogate in surrogates]
        means = lambda at: np.stack([model.mean(at) for model in models], 1)

        def std(at: np.ndarray) -> np.ndarray:
            of_model = np.stack([model.std(at) for model in models], 1)
            spread = means(at) - (means(at) @ weights)[:, None]
            return np.sqrt((of_model**2 + spread**2) @ weights)

        return Fitted(lambda at: means(at) @ weights, std)

    return fit


def left_out(
    surrogates: Sequence[Surrogate], x: np.ndarray, y: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """f64[n, surrogates]: predictions of each row by models that were fitted without it."""
    fold = random.permutation(np.arange(len(y)) % min(FOLDS, len(y)))
    found = np.zeros((len(y), len(surrogates)))
    for number in np.unique(fold):
        out = fold == number
        for column, surrogate in enumerate(surrogates):
            found[out, column] = surrogate(x[~out], y[~out], random).mean(x[out])
    return found
