"""Surrogates of ranks: fitted to normal scores, which no outlier pulls."""

import numpy as np
import scipy.special
import scipy.stats

from jaxnas.strategies.surrogates.surrogate import Fitted, Surrogate


def ranked(surrogate: Surrogate) -> Surrogate:
    """The surrogate fitted to the normal scores of the values' ranks; predictions in their unit.

    Blom's scores, the normal quantiles of (rank - 3/8) / (n + 1/4), ties equal (Conover 1999,
    chapter 5). Predicted scores become values by interpolation among the values seen, linearly
    beyond the outermost. `traced` stays in scores, which are of the same order.
    """

    def fit(x: np.ndarray, y: np.ndarray, random: np.random.Generator) -> Fitted:
        scores = normal_scores(y)
        seen, first = np.unique(y, return_index=True)
        back = lambda score: interpolated(score, scores[first], seen)
        model = surrogate(x, scores, random)

        def std(at: np.ndarray) -> np.ndarray:
            mean, spread = model.mean(at), model.std(at)
            return (back(mean + spread) - back(mean - spread)) / 2

        return model._replace(mean=lambda at: back(model.mean(at)), std=std)

    return fit


def normal_scores(values: np.ndarray) -> np.ndarray:
    """f64[n]: Blom's normal scores of the ranks of f64[n]; larger values have larger ones."""
    places = scipy.stats.rankdata(values)
    return scipy.special.ndtri((places - 0.375) / (len(places) + 0.25))


def interpolated(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Piecewise linear through (x, y), x and y increasing, continued beyond both ends.

    Beyond them with the slope of the whole range, as that of a single piece may be any (ours).
    """
    if len(x) < 2:
        return np.full(len(at), y[0])
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    beyond = np.minimum(at - x[0], 0) + np.maximum(at - x[-1], 0)
    return np.interp(at, x, y) + slope * beyond
