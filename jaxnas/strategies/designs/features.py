"""Designs as real features, for surrogates and controllers."""

import numpy as np
import scipy.linalg

from jaxnas.strategies.designs.design_space import Designs, DesignSpace


def one_hot(space: DesignSpace, designs: Designs) -> np.ndarray:
    """f64[N, F]: one-hot codes of the variables, one after another.

    Ordered variables of n values have n - 1 columns, "above value i", so that the Hamming distance
    of two designs is the distance on the scale. A variable of one value has no column.
    """
    designs, columns = np.asarray(designs), []
    for d, variable in enumerate(space.variables):
        indices = np.arange(len(variable.values))
        if variable.is_ordered:
            columns.append(designs[:, d, None] > indices[:-1])
        elif len(indices) > 1:
            columns.append(designs[:, d, None] == indices)
    return np.concatenate([np.zeros((len(designs), 0)), *columns], 1).astype(np.float64)


def all_values(space: DesignSpace, designs: Designs) -> np.ndarray:
    """f64[N, sum of cardinalities]: a column for each value of each variable, 1 where it is taken.

    Ordered variables, too: for what is said of single values.
    """
    designs = np.asarray(designs)
    columns = [designs[:, d, None] == np.arange(size) for d, size in enumerate(space.cardinalities)]
    return np.concatenate([np.zeros((len(designs), 0)), *columns], 1).astype(np.float64)


def nearest(space: DesignSpace, features: np.ndarray) -> Designs:
    """i64[N, variables]: the designs whose one-hot codes are nearest to f[N, F]; not canonical."""
    features, columns, at = np.asarray(features), [], 0
    for variable in space.variables:
        size = len(variable.values)
        width = size - 1 if variable.is_ordered or size == 1 else size
        of_variable = features[:, at : at + width]
        if variable.is_ordered:
            columns.append((of_variable > 0.5).sum(1))
        elif width:
            columns.append(of_variable.argmax(1))
        else:
            columns.append(np.zeros(len(features)))
        at += width
    return np.stack(columns, 1).astype(np.int64)


def of_all_values(space: DesignSpace) -> np.ndarray:
    """f64[sum of cardinalities, F]: `all_values(...) @ of_all_values(...)` is `one_hot(...)`."""
    blocks = []
    for variable in space.variables:
        size = len(variable.values)
        block = np.tri(size, k=-1)[:, : size - 1] if variable.is_ordered else np.eye(size)
        blocks.append(block if size > 1 else np.zeros((1, 0)))
    return scipy.linalg.block_diag(*blocks)
