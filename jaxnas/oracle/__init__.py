"""What a cell of NAS-Bench-201 really scores, looked up in a table of all 15,625."""

from jaxnas.oracle import cells, cost
from jaxnas.oracle.cells import OracleError
from jaxnas.oracle.entry import Entry, Scores, query, rank, regret, verdict
from jaxnas.oracle.export import build
from jaxnas.oracle.table import SETS, Table, load, locate

__all__ = [
    "SETS", "Entry", "OracleError", "Scores", "Table", "build", "cells", "cost", "load", "locate",
    "query", "rank", "regret", "verdict",
]  # fmt: skip
