"""Designs as real features, for surrogates and controllers."""

import numpy as np

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
