"""A surrogate: fitted to evaluated designs, it predicts those that were not."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Parameters = Any


class Fitted(NamedTuple):
    """Predictions of features f64[m, F]."""

    mean: Callable[[np.ndarray], np.ndarray]  # f64[m]
    std: Callable[[np.ndarray], np.ndarray]  # f64[m]: how uncertain the mean is
    # What JAX differentiates: (parameters, f32[m, F]) -> (mean, std), f32[m] each, of the same
    # order as the values; the same function for all fits, so that it is compiled once.
    traced: Callable[[Parameters, Any], tuple[Any, Any]] | None = None
    parameters: Parameters = None


# (features f64[n, F], values f64[n], all finite, random numbers of the fit) -> predictions
Surrogate = Callable[[np.ndarray, np.ndarray, np.random.Generator], Fitted]


class Scale(NamedTuple):
    """Values as standard scores, and back."""

    centre: float
    width: float

    def scores(self, values: np.ndarray) -> np.ndarray:
        return (np.asarray(values, float) - self.centre) / self.width


def scale_of(values: np.ndarray) -> Scale:
    """Mean and standard deviation; the width of equal values is one."""
    return Scale(float(np.mean(values)), float(np.std(values)) or 1.0)
