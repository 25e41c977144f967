"""The 15,625 cells of NAS-Bench-201, and the notations in which one is written.

A cell is its code, `i8[6]`: which of the five candidates stands on each edge, edges and
candidates in the order of `choices.nasbench201()`. https://arxiv.org/abs/2001.00326
"""

import numpy as np

from jaxnas.spaces import choices
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Cell, Genotype

CHOICE = choices.nasbench201()["cell"]
EDGES, OPS = CHOICE.edges, CHOICE.candidates[0]
COUNT = len(OPS) ** len(EDGES)  # 15,625
POWERS = len(OPS) ** np.arange(len(EDGES))[::-1]


class BenchmarkError(ValueError):
    """No cell of NAS-Bench-201, or no table of it: the message is one line."""


def every() -> np.ndarray:
    """i8[15625, 6]: all cells, counted with the last edge fastest, which is not a table's order."""
    return np.indices((len(OPS),) * len(EDGES)).reshape(len(EDGES), -1).T.astype(np.int8)


def sample(count: int, seed: int) -> np.ndarray:
    """i8[count, 6]: different cells at random, the same for the same seed.

    Raises OracleError for a count that is not from 1 to 15,625.
    """
    if not 1 <= count <= COUNT:
        raise BenchmarkError(f"{count} cells cannot be drawn: ask for 1 to {COUNT:,}.")
    return every()[np.random.default_rng(seed).choice(COUNT, count, replace=False)]


def number(codes: np.ndarray) -> np.ndarray:
    """i64[...]: the place of codes, `i8[..., 6]`, in `every()`."""
    return np.asarray(codes, np.int64) @ POWERS


def from_arch(text: str) -> np.ndarray:
    """The code of `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|`.

    Raises GenotypeError where it is no such text, OracleError where it is no cell of the space.
    """
    return from_genotype(genotypes.from_nasbench201(text))


def to_arch(code: np.ndarray) -> str:
    """The text that the benchmark's API takes and gives."""
    return genotypes.to_nasbench201(to_genotype(code))


def to_archs(codes: np.ndarray) -> np.ndarray:
    """U95[n]: the texts of many codes, `i8[n, 6]`."""
    blank = Cell(tuple((s, t, "{}") for s, t in EDGES), 1, (EDGES[-1][1],))
    text = genotypes.to_nasbench201(Genotype("nasbench201", {"cell": blank}))
    return np.array([text.format(*row) for row in np.array(OPS)[codes]])


def from_genotype(found: Genotype) -> np.ndarray:
    """The code of a genotype. Raises GenotypeError or OracleError where it is no cell of the space.

    The name of its space does not matter: a space of one's own may find cells of this one.
    """
    if set(found.cells) != {"cell"}:
        raise BenchmarkError(
            f"The genotype has the cells {', '.join(found.cells)}, which NAS-Bench-201 has not: "
            "give one that was found in the space nasbench201."
        )
    genotypes.to_nasbench201(found)
    named = {(source, target): op for source, target, op in found.cells["cell"].edges}
    strange = [op for op in named.values() if op not in OPS]
    if strange or set(named) != set(EDGES):
        wrong = f"the operation {strange[0]!r}" if strange else f"{len(named)} edges"
        raise BenchmarkError(
            f"NAS-Bench-201 has no cell with {wrong}: it has {len(EDGES)} edges with "
            f"{', '.join(OPS)}."
        )
    return np.array([OPS.index(named[edge]) for edge in EDGES], np.int8)


def to_genotype(code: np.ndarray) -> Genotype:
    """The genotype of a code."""
    edges = tuple((s, t, OPS[int(op)]) for (s, t), op in zip(EDGES, code, strict=True))
    return Genotype("nasbench201", {"cell": Cell(edges, 1, (EDGES[-1][1],))})


def to_gates(codes: np.ndarray) -> np.ndarray:
    """f32[..., 6, 5]: codes, `i8[..., 6]`, as one-hot gates of the choice `cell`."""
    return np.eye(len(OPS), dtype=np.float32)[np.asarray(codes)]


def from_gates(gates: np.ndarray) -> np.ndarray:
    """i8[..., 6]: the codes of gates, `f32[..., 6, 5]`. Raises OracleError unless one-hot.

    Of other gates `discretise.argmax_per_edge` makes a genotype.
    """
    gates = np.asarray(gates)
    codes = gates.argmax(-1).astype(np.int8) if gates.shape[-2:] == CHOICE.shape else None
    if codes is None or not (to_gates(codes) == gates).all():
        raise BenchmarkError(
            f"Gates {gates.shape} are not the one-hot [..., {len(EDGES)}, {len(OPS)}] of a cell: "
            "select a cell from them first."
        )
    return codes


def to_digits(codes: np.ndarray) -> np.ndarray:
    """U6[...]: codes, `i8[..., 6]`, as six digits, an edge each."""
    return np.char.zfill(np.asarray(codes, np.int64).dot(10 ** np.arange(6)[::-1]).astype("U6"), 6)


def computed(code: np.ndarray) -> str:
    """What a cell computes, as an expression in which equal computations read alike.

    The benchmark's own rule, by which it has 6,466 different cells (D-X-Y/AutoDL-Projects
    xautodl/models/cell_searchs/genotypes.py, `to_unique_str(consider_zero=True)`): `none`, and
    any operation on what one `none` alone made, is `#`; a skip is its source; sums are sorted. It
    keeps the zeros in a sum, so that some cells of equal value still count as different, such as
    those that differ by the order of nodes 1 and 2.
    """
    nodes = ["0"]
    ops = iter(OPS[int(op)] for op in code)
    for target in range(1, EDGES[-1][1] + 1):
        terms = []
        for source, op in zip(nodes[:target], ops, strict=False):
            if op == choices.NONE or source == "#":
                terms.append("#")
            else:
                terms.append(source if op == "skip_connect" else f"({source})@{op}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def representatives(codes: np.ndarray) -> np.ndarray:
    """i64[n]: of each of the codes, `i8[n, 6]`, the first row that computes the same."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(computed(code), row) for row, code in enumerate(codes)])
