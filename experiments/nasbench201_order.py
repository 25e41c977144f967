"""How a supernet orders the cells of NAS-Bench-201, against the truth."""

from typing import NamedTuple

import numpy as np

from experiments.nasbench201_tables import DATASET
from jaxnas.core.stages import StageResult
from jaxnas.evaluators import nasbench201 as benchmark
from jaxnas.evaluators import rank_correlation
from jaxnas.spaces import genome
from jaxnas.spaces.search_space import SearchSpace

SAMPLE_SEED = 0  # one sample for all rows, so that all are evaluated alike


class Order(NamedTuple):
    """Kendall's tau-b and Spearman's rho by accuracy, and tau-b by loss."""

    kendall: float | None = None
    spearman: float | None = None
    kendall_loss: float | None = None


def of_supernet(
    space: SearchSpace, table: benchmark.TabularBenchmark, finished: StageResult, count: int
) -> Order:
    """The agreement of a supernet's validation figures with the truth.

    Over `count` cells at random, the same for every supernet; by batch statistics; the truth is
    the test accuracy on CIFAR-10 after 200 epochs. None each where the supernet is of other
    candidates than the benchmark's (auxiliary ones, listed last, stay shut), NaN where it rates
    all cells alike.
    """
    searched, (name, choice) = finished.net.space, next(iter(space.choices.items()))
    ours, theirs = choice.candidates[0], searched[name].candidates
    if searched[name].edges != choice.edges or any(row[: len(ours)] != ours for row in theirs):
        return Order()
    genomes = genome.sample_distinct(space.choices, count, SAMPLE_SEED)
    shut = ((0, 0), (0, 0), (0, searched[name].shape[1] - len(ours)))
    gates = np.pad(space.genome.one_hot(genomes)[name], shut)
    accuracy, loss = finished.evaluate({name: gates})
    rows = table.row_of[genome.index(space.choices, genomes)]
    test = table.test[list(benchmark.SETS).index(DATASET), -1, rows]
    by_accuracy = rank_correlation.rank_correlation(accuracy, test)
    by_loss = rank_correlation.kendall(-np.asarray(loss, np.float64), test)
    return Order(by_accuracy.kendall, by_accuracy.spearman, by_loss)
