"""Queries of the table: a cell's true accuracies, its rank, its regret."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.evaluators.nasbench201 import cost
from jaxnas.evaluators.nasbench201.cost import SETS
from jaxnas.evaluators.nasbench201.isomorphism import (
    COUNT,
    EDGES,
    GENOME,
    OPS,
    BenchmarkError,
    encode,
)
from jaxnas.evaluators.nasbench201.table import EPOCHS, TabularBenchmark, to_archs, to_digits
from jaxnas.spaces import genome
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.nasbench201.notation import from_arch


class Scores(NamedTuple):
    """A cell on one data set: accuracies in percent, means over its trainings."""

    valid_12: float  # of the training of 12 epochs
    test_12: float
    valid_200: float
    test_200: float
    rank: int  # 1 + the number of the 15,625 cells with a higher test_200
    regret: float  # percentage points of test_200 below the best cell
    parameters: int
    macs: int  # of one image


class BenchmarkEntry(NamedTuple):
    """A cell in the table."""

    index: int
    arch: str
    code: str  # six digits
    same_as: int  # the index of the first isomorphic cell
    seeds: int  # trainings of 200 epochs
    sets: Mapping[str, Scores]  # by cifar10, cifar100, imagenet16-120


def query(table: TabularBenchmark, cell: int | str | Genotype | np.ndarray) -> BenchmarkEntry:
    """The entry of a cell: an index, the benchmark's notation, a genotype or a genome, i[6].

    Raises BenchmarkError or GenotypeError if there is no such cell.
    """
    row = _row(table, cell)
    code = table.codes[row]
    sets = {}
    for i, (name, dataset) in enumerate(SETS.items()):
        accuracies = [
            float(split[i, e, row])
            for e in range(len(EPOCHS))
            for split in (table.valid, table.test)
        ]
        truth = table.test[i, -1]
        sets[name] = Scores(
            *accuracies,
            rank=int(rank(truth, truth[row])),
            regret=float(regret(truth, truth[row])),
            parameters=int(cost.parameters(code, dataset.classes)),
            macs=int(cost.macs(code, dataset.classes, dataset.side)),
        )
    same_as, seeds = int(table.same_as[row]), int(table.seeds[row])
    return BenchmarkEntry(
        row, str(to_archs(code[None])[0]), str(to_digits(code)), same_as, seeds, sets
    )


def as_json(entry: BenchmarkEntry) -> dict:
    """An entry as a JSON object, by the names of its fields."""
    sets = {name: scores._asdict() for name, scores in entry.sets.items()}
    return entry._asdict() | {"sets": sets}


def lines(entry: BenchmarkEntry) -> list[str]:
    """An entry as text, a line a figure and a column a data set."""
    scores = entry.sets.values()
    row = lambda label, texts: f"{label:<24}" + "".join(f"{text:>16}" for text in texts)
    percentage = lambda label, field: row(label, (f"{getattr(s, field):.2f}" for s in scores))
    integer = lambda label, field: row(label, (f"{getattr(s, field):,}" for s in scores))
    same = "" if entry.same_as == entry.index else f", computes what cell {entry.same_as} computes"
    return [
        f"cell {entry.index} of NAS-Bench-201{same}",
        entry.arch,
        row("", entry.sets),
        percentage("test %, 200 epochs", "test_200"),
        percentage("  points below the best", "regret"),
        integer(f"  rank of {COUNT:,}", "rank"),
        percentage("valid %, 200 epochs", "valid_200"),
        percentage("test %, 12 epochs", "test_12"),
        percentage("valid %, 12 epochs", "valid_12"),
        integer("parameters", "parameters"),
        integer("MACs of an image", "macs"),
        f"accuracies of 200 epochs are means of {entry.seeds} training{'s' * (entry.seeds > 1)}",
    ]


def rank(truth: np.ndarray, score: np.ndarray | float) -> np.ndarray:
    """i64[...]: 1 + the number of `truth`, f64[n], above each of `score`; ties share a rank."""
    return 1 + len(truth) - np.searchsorted(np.sort(truth), score, side="right")


def regret(truth: np.ndarray, score: np.ndarray | float) -> np.ndarray:
    """f64[...]: the difference between the best of `truth` and each of `score`."""
    return np.max(truth) - score


def _row(table: TabularBenchmark, cell: int | str | Genotype | np.ndarray) -> int:
    if isinstance(cell, int | np.integer):
        if not 0 <= cell < COUNT:
            raise BenchmarkError(f"No cell {cell}: indices run from 0 to {COUNT - 1}.")
        return int(cell)
    if isinstance(cell, str):
        cell = from_arch(cell)
    if isinstance(cell, Genotype):
        cell = encode(cell)
    code = np.asarray(cell)
    if code.shape != (len(EDGES),) or not np.isin(code, range(len(OPS))).all():
        raise BenchmarkError(
            f"{cell!r} is no genome of a cell: give {len(EDGES)} numbers from 0 to {len(OPS) - 1}."
        )
    return int(table.row_of[genome.index(GENOME.space, code)])
