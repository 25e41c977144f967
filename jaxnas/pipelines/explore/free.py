"""What is known of designs without an evaluation: counts and predictions."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxnas import data
from jaxnas.evaluators.evaluator import Evaluator
from jaxnas.hardware import counts
from jaxnas.pipelines.explore import short_training
from jaxnas.pipelines.settings import Recipe
from jaxnas.spaces.search_space import NetworkSize, SearchSpace
from jaxnas.strategies.designs.design_space import Designs, DesignSpace

Known = Callable[[Designs], np.ndarray]  # of canonical rows, f64[N]


def of_evaluator(
    decode: Callable[[np.ndarray], Any], evaluator: Evaluator, figures: Sequence[str]
) -> dict[str, Known]:
    """Figures of an evaluator that costs next to nothing."""

    def of(figure: str, designs: Designs) -> np.ndarray:
        results = evaluator.evaluate([decode(row) for row in designs], [0] * len(designs))
        return np.array([float(result[figure]) for result in results])  # such a one never fails

    return {figure: functools.partial(of, figure) for figure in figures}


def counted(
    space: SearchSpace, designs: DesignSpace, dataset: data.DataSet, recipe: Recipe
) -> dict[str, Known]:
    """Parameters and MACs of the networks that a recipe trains, counted when first asked for."""
    full = short_training.resolved(space, dataset, recipe)
    image, classes = dataset.train.inputs.shape[1:], len(dataset.class_names)
    size = NetworkSize(full.features, full.cells, classes, image)
    table = functools.cache(lambda: counts.additive_counts(space, size))

    def of(quantity: str, rows: Designs) -> np.ndarray:
        genomes = [space.genome.encode(designs.decode(row)) for row in rows]
        canonical = space.genome.canonical(np.array(genomes))
        return table()[quantity].total(canonical)

    return {quantity: functools.partial(of, quantity) for quantity in counts.QUANTITIES}
