"""Evaluators: what estimates the performance of networks, given as genomes."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Evaluator(NamedTuple):
    """Figures of genomes: by a table, shared weights, short training, a score without training."""

    maximise: Mapping[str, bool]  # figure -> whether larger is better
    evaluate: Callable[[np.ndarray], Mapping[str, np.ndarray]]  # i[N, positions] -> f64[N] a figure


def cached(evaluator: Evaluator, known: dict[bytes, Mapping[str, float]]) -> Evaluator:
    """`evaluator` that evaluates every genome once and keeps its figures in `known`."""

    def evaluate(rows: np.ndarray) -> Mapping[str, np.ndarray]:
        rows = np.ascontiguousarray(rows, np.int64)
        keys = [row.tobytes() for row in rows]
        new = [i for i, key in enumerate(keys) if key not in known]
        if new:
            figures = evaluator.evaluate(rows[new])
            for n, i in enumerate(new):
                known[keys[i]] = {name: float(values[n]) for name, values in figures.items()}
        return {name: np.array([known[k][name] for k in keys]) for name in evaluator.maximise}

    return evaluator._replace(evaluate=evaluate)
