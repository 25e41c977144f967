"""Costs of networks as figures: predicted milliseconds, counted MACs and parameters."""

from collections.abc import Sequence

import numpy as np

from jaxnas.evaluators.evaluator import Evaluator, Figures
from jaxnas.hardware.predict.predictor import LATENCY, Predictor
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

AT_ONCE = 1 << 20  # as many as are asked for
LATENCY_MS = "latency_ms"  # the figure of a predictor of latency


def predicted(space: SearchSpace, predictor: Predictor) -> Evaluator:
    """The predictions of genotypes, all at once: `latency_ms`, or the predictor's quantity.

    Raises ValueError for a predictor of another space.
    """
    if dict(predictor.space) != dict(space.genome.space):
        raise ValueError(
            f"The latency model is of another space than {space.name}: measure and fit this one."
        )
    figure = LATENCY_MS if predictor.quantity == LATENCY else predictor.quantity

    def evaluate(genotypes: Sequence[Genotype], seeds: Sequence[int]) -> list[Figures]:
        rows = np.array([space.genome.encode(genotype) for genotype in genotypes])
        return [{figure: float(value)} for value in predictor.predict(rows)[0]]

    return Evaluator({figure: False}, evaluate, at_once=AT_ONCE)
