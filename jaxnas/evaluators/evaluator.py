"""Evaluators: estimators of the performance of networks, given as genomes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Evaluator(NamedTuple):
    """Figures of genomes: by a table, shared weights, short training, a score without training."""

    maximise: Mapping[str, bool]  # figure -> whether larger is better
    evaluate: Callable[[np.ndarray], Mapping[str, np.ndarray]]  # i[N, positions] -> f64[N] a figure


def cached(evaluator: Evaluator, cache: dict[bytes, Mapping[str, float]]) -> Evaluator:
    """`evaluator` that evaluates every genome once and stores its figures in `cache`."""

    def evaluate(genomes: np.ndarray) -> Mapping[str, np.ndarray]:
        genomes = np.ascontiguousarray(genomes, np.int64)
        keys = [row.tobytes() for row in genomes]
        new = [i for i, key in enumerate(keys) if key not in cache]
        if new:
            figures = evaluator.evaluate(genomes[new])
            for n, i in enumerate(new):
                cache[keys[i]] = {name: float(values[n]) for name, values in figures.items()}
        return {name: np.array([cache[k][name] for k in keys]) for name in evaluator.maximise}

    return evaluator._replace(evaluate=evaluate)
