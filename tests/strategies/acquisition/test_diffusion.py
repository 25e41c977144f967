"""Diffusion: samples of the designs it learnt, moved by guidance."""

import numpy as np

from jaxnas.strategies.acquisition import diffusion
from jaxnas.strategies.designs import combine, design_space
from jaxnas.strategies.designs.features import one_hot
from jaxnas.strategies.surrogates.surrogate import Fitted

GRID = design_space.of_values({"a": tuple("pqrs"), "b": tuple("pqrs"), "c": (1, 2, 3)})
# Valid are the designs whose first two values are equal: 12 of 48.
EQUAL = combine.restricted(GRID, lambda rows: rows[:, 0] == rows[:, 1])


def height(parameters, x):
    return x @ parameters, 0 * x[:, 0]


def test_samples_are_valid_and_guided():
    made = diffusion.generator(EQUAL, 300)
    random = np.random.default_rng(0)
    free = diffusion.generate(made, None, 0.0, random, 200)
    assert EQUAL.is_valid(free).mean() > 0.9  # a quarter by chance
    assert len(np.unique(free, axis=0)) >= 10
    assert np.bincount(free[:, 0], minlength=4).min() > 20
    weights = np.zeros(one_hot(EQUAL, free).shape[1], np.float32)
    weights[1] = 1.0  # the value q of a
    share = [(free[:, 0] == 1).mean()]
    for guidance in (3.0, 30.0):
        fitted = Fitted(None, None, height, weights)
        guided = diffusion.generate(made, fitted, guidance, random, 200)
        share.append((guided[:, 0] == 1).mean())
        assert EQUAL.is_valid(guided).mean() > 0.8
    assert share[0] < 0.45 and share[0] + 0.15 < share[1] <= share[2]
