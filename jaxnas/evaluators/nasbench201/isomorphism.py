"""Isomorphic cells among the 15,625 of NAS-Bench-201, by the benchmark's rule.

A cell is its genome in the space `nasbench201`. https://arxiv.org/abs/2001.00326
"""

import math

import numpy as np

from jaxnas.core.types import NONE
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.nasbench201 import entry

GENOME = entry.entry().genome
EDGES = tuple(position.edge for position in GENOME.positions)
OPS = GENOME.positions[0].candidates
COUNT = math.prod(GENOME.cardinalities)  # 15,625


class BenchmarkError(ValueError):
    """An invalid cell or table of NAS-Bench-201; the message is one line."""


def encode(genotype: Genotype) -> np.ndarray:
    """The genome i64[6] of a cell, of a space of any name: user spaces may have the same cells.

    Raises GenotypeError for other operations and BenchmarkError for fewer edges.
    """
    row = GENOME.encode(genotype)
    if -1 in row:
        raise BenchmarkError(
            f"NAS-Bench-201 has no cell with {(row >= 0).sum()} edges: it has {len(EDGES)}."
        )
    return row


def computed(row: np.ndarray) -> str:
    """The canonical expression of a cell's function.

    The benchmark's rule, by which it has 6,466 different cells (D-X-Y/AutoDL-Projects
    xautodl/models/cell_searchs/genotypes.py, `to_unique_str(consider_zero=True)`): `none`, and
    any operation on the output of a single `none`, is `#`; a skip is its source; sums are sorted.
    It keeps the zeros in a sum, so that some cells of the same function count as different, such
    as those that differ by the order of nodes 1 and 2.
    """
    nodes = ["0"]
    ops = iter(OPS[int(op)] for op in row)
    for target in range(1, EDGES[-1][1] + 1):
        terms = []
        for source, op in zip(nodes[:target], ops, strict=False):
            if op == NONE or source == "#":
                terms.append("#")
            else:
                terms.append(source if op == "skip_connect" else f"({source})@{op}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def representatives(rows: np.ndarray) -> np.ndarray:
    """i64[n]: for each of the cells i[n, 6] the first isomorphic one."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(computed(row), i) for i, row in enumerate(rows)])
