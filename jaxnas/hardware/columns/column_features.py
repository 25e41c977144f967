"""Features of columns of numbers: the columns, and products of two and of three of them."""

import itertools
from collections.abc import Mapping

import numpy as np

DEGREES = {"column": 1, "pair": 2, "triple": 3}  # of the groups of features
MAX_PRODUCTS = 6000  # features of a group: more columns than 31 have no triples


def groups(columns: np.ndarray) -> dict[str, np.ndarray]:
    """f[N, F] of each group, of standardised columns f[N, C]: products, squares among them."""
    return {
        name: np.stack([np.prod(columns[:, list(c)], 1) for c in _of(name, columns.shape[1])], 1)
        for name in DEGREES
        if len(_of(name, columns.shape[1])) <= MAX_PRODUCTS or DEGREES[name] == 1
    }


def share(columns: np.ndarray, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    """f64[C]: the variance of the terms that have each column, over rows f[N, C]."""
    found = np.zeros(columns.shape[1])
    for name, values in groups(columns).items():
        if name in weights:
            variances = weights[name] ** 2 * values.var(0)
            for variance, product in zip(variances, _of(name, columns.shape[1]), strict=True):
                found[list(set(product))] += variance
    return found


def _of(name: str, columns: int) -> list[tuple[int, ...]]:
    """The columns of each product of a group."""
    return list(itertools.combinations_with_replacement(range(columns), DEGREES[name]))
