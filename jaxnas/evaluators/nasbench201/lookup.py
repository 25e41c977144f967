"""The table as an evaluator: what a search may know of a cell, and its costs."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxnas.evaluators.evaluator import Evaluator, Figures
from jaxnas.evaluators.nasbench201 import cost
from jaxnas.evaluators.nasbench201.cost import SETS
from jaxnas.evaluators.nasbench201.isomorphism import GENOME, encode
from jaxnas.evaluators.nasbench201.table import TabularBenchmark
from jaxnas.spaces import genome
from jaxnas.spaces.genotype import Genotype

MAXIMISE: Mapping[str, bool] = {"valid": True, "parameters": False, "macs": False}


def evaluator(table: TabularBenchmark, dataset: str = "cifar10") -> Evaluator:
    """Genotypes' validation accuracy after 12 epochs, in percent, parameters and MACs.

    The accuracy after 200 epochs is for the end of a search alone: `query`.
    """
    number, of_set = list(SETS).index(dataset), SETS[dataset]

    def evaluate(genotypes: Sequence[Genotype], seeds: Sequence[int]) -> list[Figures]:
        codes = np.array([encode(genotype) for genotype in genotypes])
        rows = table.row_of[genome.index(GENOME.space, codes)]
        columns = (
            table.valid[number, 0, rows],
            cost.parameters(codes, of_set.classes),
            cost.macs(codes, of_set.classes, of_set.side),
        )
        return [
            dict(zip(MAXIMISE, map(float, figures), strict=True))
            for figures in zip(*columns, strict=True)
        ]

    return Evaluator(MAXIMISE, evaluate, at_once=len(table.codes))
