"""The found architecture: which operation stands on which edge, as text and back.

The format, `docs/genotype.md`, is the same for every space. Whoever reads a file reads at most
`LIMIT` bytes and one more, and hands the text over.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

FORMAT, VERSION = "jaxnas genotype", 1
LIMIT = 1_000_000  # characters
DARTS_CELLS = ("normal", "reduce")


class GenotypeError(ValueError):
    """No genotype, or a wrong one: the message is one line."""


class Cell(NamedTuple):
    """Nodes 0..inputs-1 are given; every other is the sum of the edges that enter it."""

    edges: tuple[tuple[int, int, str], ...]  # (source, target, op), in the order written
    inputs: int
    concat: tuple[int, ...]  # the nodes that make the output, concatenated


class Genotype(NamedTuple):
    space: str  # "darts", "nasbench201" or a name of your own
    cells: Mapping[str, Cell]


def to_json(genotype: Genotype) -> str:
    """The genotype as text, an edge a line. Raises GenotypeError where it is no genotype."""
    check(genotype)
    return (
        f'{{\n  "format": "{FORMAT}",\n  "version": {VERSION},\n'
        f'  "space": {json.dumps(genotype.space)},\n  "cells": {{\n'
        + ",\n".join(_cell_text(name, cell) for name, cell in genotype.cells.items())
        + "\n  }\n}\n"
    )


def _cell_text(name: str, cell: Cell) -> str:
    edges = ",\n".join(f"        {json.dumps(edge)}" for edge in cell.edges)
    return (
        f'    {json.dumps(name)}: {{\n      "inputs": {cell.inputs},\n'
        f'      "concat": {json.dumps(cell.concat)},\n      "edges": [\n{edges}\n      ]\n    }}'
    )


def from_json(text: str, ops: Collection[str] | None = None) -> Genotype:
    """The genotype that `to_json` wrote, or DARTS's own dictionary of pairs.

    Where `ops` is given, every operation must be one of them. Raises GenotypeError.
    """
    table = _parse(text)
    if not isinstance(table, dict):
        _refuse(f"a genotype is a JSON object, not {_show(table)}")
    if "format" not in table and "normal" in table:
        genotype = from_darts(table)
        check(genotype, ops)
        return genotype
    if table.get("format") != FORMAT:
        _refuse(f'"format" is {_show(table.get("format"))}, expected "{FORMAT}"')
    if table.get("version") != VERSION:
        _refuse(f'"version" is {_show(table.get("version"))}; this jaxnas reads {VERSION}')
    _keys(table, ("format", "version", "space", "cells"), "the genotype")
    if not isinstance(table["cells"], dict):
        _refuse(f'"cells" is {_show(table["cells"])}, expected an object')
    cells = {name: _cell(name, cell) for name, cell in table["cells"].items()}
    genotype = Genotype(table["space"], cells)
    check(genotype, ops)
    return genotype


def check(genotype: Genotype, ops: Collection[str] | None = None) -> None:
    """Raises GenotypeError unless every cell is a chain of nodes made from earlier nodes.

    Where `ops` is given, every operation must be one of them.
    """
    if not isinstance(genotype.space, str) or not genotype.space:
        _refuse(f"the space is called {_show(genotype.space)}, expected a name")
    if not genotype.cells:
        _refuse("there are no cells")
    needed = DARTS_CELLS if genotype.space == "darts" else ()
    missing = [name for name in needed if name not in genotype.cells]
    if missing:
        _refuse(f"the cell {missing[0]!r} is missing")
    for name, cell in genotype.cells.items():
        _check_cell(name, cell, ops)


def _check_cell(name: str, cell: Cell, ops: Collection[str] | None) -> None:
    where = f"in the cell {_show(name)}"
    if not _whole(cell.inputs) or cell.inputs < 1:
        _refuse(f'{where} "inputs" is {_show(cell.inputs)}, expected a positive number')
    if not cell.edges:
        _refuse(f"{where} there are no edges")
    for source, target, op in cell.edges:
        shown = f"{where} the edge [{_show(source)}, {_show(target)}, {_show(op)}]"
        if not (_whole(source) and _whole(target) and isinstance(op, str)):
            _refuse(f"{shown} is not [source, target, operation]")
        if not 0 <= source < target:
            _refuse(f"{shown} does not run from an earlier to a later node: that is a cycle")
        if target < cell.inputs:
            _refuse(f"{shown} enters node {target}, which is an input")
        if ops is not None and op not in ops:
            _refuse(f"{shown} has an unknown operation; known are {', '.join(sorted(ops))}")
    made = {target for _, target, _ in cell.edges}
    nodes = set(range(cell.inputs, cell.inputs + len(made)))
    if made != nodes:
        _refuse(f"{where} no edge enters node {min(nodes - made)}, but node {max(made)} has one")
    if not cell.concat or len(set(cell.concat)) != len(cell.concat):
        _refuse(f'{where} "concat" is {_show(list(cell.concat))}: name one node or more, each once')
    wrong = [node for node in cell.concat if node not in nodes]
    if wrong:
        _refuse(f'{where} "concat" names {_show(wrong[0])}; nodes are {min(nodes)} to {max(nodes)}')


def from_darts(found: str | Mapping[str, Any] | Sequence[Any]) -> Genotype:
    """DARTS's pairs (operation, source), two a node, flat or grouped by node.

    Reads a `Genotype(normal=[...], normal_concat=..., reduce=..., reduce_concat=...)` as text
    (quark0/darts cnn/genotypes.py prints it), the same as a named tuple, tuple of four or
    mapping, and its JSON; `concat` is a list or a range. Raises GenotypeError.
    """
    if isinstance(found, str):
        found = _darts_table(found)
    fields = [f"{cell}{end}" for cell in DARTS_CELLS for end in ("", "_concat")]
    if hasattr(found, "_asdict"):
        found = found._asdict()
    elif isinstance(found, Sequence) and len(found) == len(fields):
        found = dict(zip(fields, found, strict=True))
    if not isinstance(found, Mapping):
        _refuse(f"expected {', '.join(fields)}, found {_show(found)}")
    # AutoDL-Projects writes two more, always empty.
    found = {k: v for k, v in found.items() if k not in ("connectN", "connects") or v is not None}
    _keys(found, fields, "DARTS's genotype")
    cells = {
        name: Cell(_from_pairs(name, found[name]), 2, _concat(name, found[f"{name}_concat"]))
        for name in DARTS_CELLS
    }
    genotype = Genotype("darts", cells)
    check(genotype)
    return genotype


def _darts_table(text: str) -> Any:
    """Python's spelling turned into JSON's, without evaluating anything."""
    if text.lstrip().startswith("{"):
        return _parse(text)
    compact = "".join(text[: LIMIT + 1].split())
    start, end = compact.find("Genotype("), compact.rfind(")")
    if start < 0 or end < start:
        _refuse(f"expected Genotype(normal=..., ...), found {_show(text)}")
    body = compact[start + len("Genotype(") : end]
    for python, ours in (
        ("range(", '["range",'), ("(", "["), (")", "]"), ("'", '"'), (",]", "]"), ("None", "null"),
    ):  # fmt: skip
        body = body.replace(python, ours)
    for name in ("normal", "reduce", "normal_concat", "reduce_concat", "connectN", "connects"):
        body = body.replace(f"{name}=", f'"{name}":')
    return _parse("{" + body.removesuffix(",") + "}")


def _from_pairs(name: str, pairs: Any) -> tuple[tuple[int, int, str], ...]:
    where = f"in the cell {name!r}"
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
        _refuse(f"{where} expected pairs [operation, source], found {_show(pairs)}")
    is_pair = lambda p: isinstance(p, Sequence) and len(p) == 2 and isinstance(p[0], str)
    if not is_pair(pairs[0]):
        groups = pairs
    elif len(pairs) % 2:
        _refuse(f"{where} {len(pairs)} pairs are not two a node")
    else:
        groups = [pairs[i : i + 2] for i in range(0, len(pairs), 2)]
    for group in groups:
        if not isinstance(group, Sequence) or not group or not all(map(is_pair, group)):
            _refuse(f"{where} expected pairs [operation, source], found {_show(group)}")
    return tuple((s, 2 + node, op) for node, group in enumerate(groups) for op, s in group)


def _concat(name: str, concat: Any) -> tuple[int, ...]:
    if isinstance(concat, list) and concat[:1] == ["range"]:
        if not (1 < len(concat) < 4 and all(_whole(n) and 0 <= n < 1000 for n in concat[1:])):
            _refuse(f"in the cell {name!r} concat is range({_show(concat[1:])})")
        concat = range(*concat[1:])
    if not isinstance(concat, (list, tuple, range)):
        _refuse(f"in the cell {name!r} concat is {_show(concat)}, expected a list of nodes")
    return tuple(concat)


def to_darts(genotype: Genotype) -> dict[str, Any]:
    """DARTS's dictionary of flat pairs. Raises GenotypeError unless it is a DARTS cell pair
    with two edges a node, written node by node."""
    table = {}
    for name in DARTS_CELLS:
        if name not in genotype.cells:
            _refuse(f"the cell {name!r} is missing")
        cell = genotype.cells[name]
        if cell.inputs != 2 or [t for _, t, _ in cell.edges] != [
            2 + i // 2 for i in range(len(cell.edges))
        ]:
            _refuse(f"the cell {name!r} has not two inputs and two edges a node, in order")
        table[name] = [[op, source] for source, _, op in cell.edges]
        table[f"{name}_concat"] = list(cell.concat)
    return table


def from_nasbench201(text: str) -> Genotype:
    """A cell such as `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|`, nodes joined by `+`.

    Raises GenotypeError.
    """
    if not isinstance(text, str) or len(text) > LIMIT:
        _refuse("NAS-Bench-201 writes a cell as a short text |op~source|+|op~source|op~source|+...")
    edges = []
    for node, group in enumerate(text.strip().split("+"), 1):
        parts = [part.split("~") for part in group.strip("|").split("|")]
        if not all(len(p) == 2 and p[0] and p[1].isascii() and p[1].isdecimal() for p in parts):
            _refuse(f"expected |op~source|op~source|... for node {node}, found {_show(group)}")
        if [p[1] for p in parts] != [str(source) for source in range(node)]:
            _refuse(f"node {node} takes one edge from each earlier node in order: {_show(group)}")
        edges += [(source, node, op) for source, (op, _) in enumerate(parts)]
    genotype = Genotype("nasbench201", {"cell": Cell(tuple(edges), 1, (edges[-1][1],))})
    check(genotype)
    return genotype


def to_nasbench201(genotype: Genotype) -> str:
    """`|nor_conv_3x3~0|+...`. Raises GenotypeError unless every earlier node enters each node."""
    check(genotype)
    cell = genotype.cells.get("cell")
    if cell is None or cell.inputs != 1 or len(genotype.cells) != 1:
        _refuse('NAS-Bench-201 has one cell, "cell", with one input')
    nodes = range(1, 1 + max(target for _, target, _ in cell.edges))
    ops = {(source, target): op for source, target, op in cell.edges}
    if set(ops) != {(s, t) for t in nodes for s in range(t)} or len(ops) != len(cell.edges):
        _refuse("NAS-Bench-201 has exactly one edge from each node to every later one")
    return "+".join("|" + "|".join(f"{ops[s, t]}~{s}" for s in range(t)) + "|" for t in nodes)


def _parse(text: str) -> Any:
    if len(text) > LIMIT:
        _refuse(f"{len(text):,} characters; a genotype has at most {LIMIT:,}")
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except GenotypeError:
        raise
    except RecursionError:
        _refuse("the brackets are nested too deeply")
    except ValueError as error:
        _refuse(f"the text is not JSON ({error})")


def _no_number(text: str) -> NoReturn:
    _refuse(f"{text} is no number that a genotype has")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        _refuse(f"one of the names {_show([name for name, _ in pairs])} stands twice")
    return table


def _cell(name: str, cell: Any) -> Cell:
    if not isinstance(cell, dict):
        _refuse(f"the cell {_show(name)} is {_show(cell)}, expected an object")
    _keys(cell, ("inputs", "concat", "edges"), f"the cell {_show(name)}")
    for field in ("edges", "concat"):
        if not isinstance(cell[field], list):
            _refuse(f'in the cell {_show(name)} "{field}" is {_show(cell[field])}, not a list')
    for edge in cell["edges"]:
        if not isinstance(edge, list) or len(edge) != 3:
            _refuse(f"in the cell {_show(name)} {_show(edge)} is not [source, target, operation]")
    if not all(map(_whole, cell["concat"])):
        _refuse(f'in the cell {_show(name)} "concat" is {_show(cell["concat"])}, expected nodes')
    edges = tuple((s, t, op) for s, t, op in cell["edges"])
    return Cell(edges, cell["inputs"], tuple(cell["concat"]))


def _keys(table: Mapping[str, Any], expected: Collection[str], where: str) -> None:
    missing = [key for key in expected if key not in table]
    unknown = [key for key in table if key not in expected]
    if missing:
        _refuse(f"{where} has no {missing[0]!r}")
    if unknown:
        _refuse(f"{where} has {_show(unknown[0])}, which means nothing here")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _show(value: Any) -> str:
    try:
        text = repr(value[:60] if isinstance(value, (str, list, tuple)) else value)
    except (RecursionError, ValueError):  # nested deeply, or a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse(cause: str) -> NoReturn:
    raise GenotypeError(f"Not a genotype: {cause}.") from None


def skips(genotype: Genotype, name: str = "skip_connect") -> dict[str, int]:
    """How many edges of each cell were selected as skip connections."""
    return {
        cell: sum(op == name for _, _, op in chosen.edges)
        for cell, chosen in genotype.cells.items()
    }
