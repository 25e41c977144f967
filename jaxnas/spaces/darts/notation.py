"""DARTS's own notation of a genotype: pairs (operation, source), two a node."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Cell, Genotype

CELLS = ("normal", "reduce")
MAPPING = re.compile(r"""\{\s*["'](normal|reduce)["']\s*:""")


def from_pairs(pairs: str | Mapping[str, Any] | Sequence[Any]) -> Genotype:
    """DARTS's pairs (operation, source), two a node, flat or grouped by node.

    Reads a `Genotype(normal=[...], normal_concat=..., reduce=..., reduce_concat=...)` as text
    (quark0/darts cnn/genotypes.py prints it) or in a log, where the last one counts, the same as a
    named tuple, tuple of four or mapping, and its JSON or Python's text of it; `concat` is a list
    or a range, and a third entry of a pair, its weight, is left out. Raises GenotypeError.
    """
    if isinstance(pairs, str):
        pairs = _table(pairs)
    fields = [f"{cell}{suffix}" for cell in CELLS for suffix in ("", "_concat")]
    if hasattr(pairs, "_asdict"):
        pairs = pairs._asdict()
    elif isinstance(pairs, Sequence) and len(pairs) == len(fields):
        pairs = dict(zip(fields, pairs, strict=True))
    if not isinstance(pairs, Mapping):
        genotypes.fail(f"expected {', '.join(fields)}, found {genotypes.show(pairs)}")
    # AutoDL-Projects writes two more, always empty.
    pairs = {
        key: value
        for key, value in pairs.items()
        if key not in ("connectN", "connects") or value is not None
    }
    genotypes.check_keys(pairs, fields, "DARTS's genotype")
    cells = {
        name: Cell(_edges(name, pairs[name]), 2, _concat(name, pairs[f"{name}_concat"]))
        for name in CELLS
    }
    genotype = Genotype("darts", cells)
    genotypes.check(genotype)
    return genotype


def is_notation(text: str) -> bool:
    """Whether a text holds a genotype in DARTS's notation, alone or within a log."""
    return "Genotype(" in text or (MAPPING.search(text) is not None and '"format"' not in text)


def _table(text: str) -> Any:
    """Python's syntax converted to JSON and parsed, without evaluation."""
    text = text[: genotypes.LIMIT + 1]
    if (start := text.rfind("Genotype(")) >= 0:
        start += len("Genotype")
    elif found := list(MAPPING.finditer(text)):
        start = found[-1].start()
    elif text.lstrip().startswith("{"):
        return genotypes.parse_json(text)
    else:
        genotypes.fail(f"expected Genotype(normal=..., ...), found {genotypes.show(text)}")
    body = "".join(_bracketed(text, start).split())
    # Numbers as NumPy and PyTorch print them.
    body = re.sub(r"(?:np\.float\d+|numpy\.float\d+|tensor|array)\(([^()]*)\)", r"\1", body)
    for python, ours in (
        ("range(", '["range",'), ("(", "["), (")", "]"), ("'", '"'), (",]", "]"), ("None", "null"),
    ):  # fmt: skip
        body = body.replace(python, ours)
    for name in ("normal", "reduce", "normal_concat", "reduce_concat", "connectN", "connects"):
        body = body.replace(f"{name}=", f'"{name}":')
    return genotypes.parse_json("{" + body[1:-1].removesuffix(",") + "}")


def _bracketed(text: str, start: int) -> str:
    """The text from the bracket at `start` to the one that closes it."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return text[start : i + 1]
    return genotypes.fail("a bracket is not closed")


def _edges(name: str, pairs: Any) -> tuple[tuple[int, int, str], ...]:
    location = f"in the cell {name!r}"
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
        genotypes.fail(
            f"{location} expected pairs [operation, source], found {genotypes.show(pairs)}"
        )
    is_pair = lambda p: (
        isinstance(p, Sequence)
        and isinstance(p[0] if p else None, str)
        and (len(p) == 2 or (len(p) == 3 and isinstance(p[2], int | float)))
    )
    if not is_pair(pairs[0]):
        groups = pairs
    elif len(pairs) % 2:
        genotypes.fail(f"{location} {len(pairs)} pairs are not two a node")
    else:
        groups = [pairs[i : i + 2] for i in range(0, len(pairs), 2)]
    for group in groups:
        if not isinstance(group, Sequence) or not group or not all(map(is_pair, group)):
            genotypes.fail(
                f"{location} expected pairs [operation, source], found {genotypes.show(group)}"
            )
    return tuple((s, 2 + node, op) for node, group in enumerate(groups) for op, s, *_ in group)


def _concat(name: str, concat: Any) -> tuple[int, ...]:
    if isinstance(concat, list) and concat[:1] == ["range"]:
        if not (
            1 < len(concat) < 4 and all(genotypes.is_int(n) and 0 <= n < 1000 for n in concat[1:])
        ):
            genotypes.fail(f"in the cell {name!r} concat is range({genotypes.show(concat[1:])})")
        concat = range(*concat[1:])
    if not isinstance(concat, (list, tuple, range)):
        genotypes.fail(
            f"in the cell {name!r} concat is {genotypes.show(concat)}, expected a list of nodes"
        )
    return tuple(concat)


def to_pairs(genotype: Genotype) -> dict[str, Any]:
    """DARTS's dictionary of flat pairs. Raises GenotypeError unless it is a DARTS cell pair
    with two edges a node, written node by node."""
    table = {}
    for name in CELLS:
        if name not in genotype.cells:
            genotypes.fail(f"the cell {name!r} is missing")
        cell = genotype.cells[name]
        if cell.inputs != 2 or [t for _, t, _ in cell.edges] != [
            2 + i // 2 for i in range(len(cell.edges))
        ]:
            genotypes.fail(f"the cell {name!r} has not two inputs and two edges a node, in order")
        table[name] = [[op, source] for source, _, op in cell.edges]
        table[f"{name}_concat"] = list(cell.concat)
    return table
