"""NAS-Bench-201 as a tabular benchmark: the scores of all 15,625 cells."""

from jaxnas.evaluators.nasbench201 import cost, isomorphism, zero_cost
from jaxnas.evaluators.nasbench201.build import build
from jaxnas.evaluators.nasbench201.isomorphism import BenchmarkError
from jaxnas.evaluators.nasbench201.lookup import evaluator
from jaxnas.evaluators.nasbench201.query import (
    BenchmarkEntry,
    Scores,
    as_json,
    lines,
    query,
    rank,
    regret,
)
from jaxnas.evaluators.nasbench201.table import SETS, VARIABLE, TabularBenchmark, load, locate

__all__ = [
    "SETS",
    "VARIABLE",
    "BenchmarkEntry",
    "BenchmarkError",
    "Scores",
    "TabularBenchmark",
    "as_json",
    "build",
    "cost",
    "evaluator",
    "isomorphism",
    "lines",
    "load",
    "locate",
    "query",
    "rank",
    "regret",
    "zero_cost",
]
