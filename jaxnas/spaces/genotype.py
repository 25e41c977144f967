"""Genotypes: the operation on each edge of an architecture, and their JSON format.

The format, `docs/genotype.md`, is the same for every space. Readers of files pass at most
`LIMIT` + 1 bytes.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, NoReturn

FORMAT, VERSION = "jaxnas genotype", 1
LIMIT = 1_000_000  # characters


class GenotypeError(ValueError):
    """An invalid genotype; the message is one line."""


class Cell(NamedTuple):
    """Nodes 0..inputs-1 are inputs; every other is the sum of the edges that enter it."""

    edges: tuple[tuple[int, int, str], ...]  # (source, target, op), in the order written
    inputs: int
    concat: tuple[int, ...]  # the nodes whose concatenation is the output


class Genotype(NamedTuple):
    space: str  # "darts", "nasbench201" or a name of your own
    cells: Mapping[str, Cell]


def to_json(genotype: Genotype) -> str:
    """The genotype as JSON text, an edge a line. Raises GenotypeError for an invalid one."""
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


def compact(genotype: Genotype) -> str:
    """The genotype's JSON in one line."""
    return json.dumps(json.loads(to_json(genotype)), separators=(",", ":"))


def from_json(text: str, ops: Collection[str] | None = None) -> Genotype:
    """The genotype that `to_json` wrote.

    Where `ops` is given, every operation must be one of them. Raises GenotypeError.
    """
    table = parse_json(text)
    if not isinstance(table, dict):
        fail(f"a genotype is a JSON object, not {show(table)}")
    if table.get("format") != FORMAT:
        fail(f'"format" is {show(table.get("format"))}, expected "{FORMAT}"')
    if table.get("version") != VERSION:
        fail(f'"version" is {show(table.get("version"))}; this jaxnas reads {VERSION}')
    check_keys(table, ("format", "version", "space", "cells"), "the genotype")
    if not isinstance(table["cells"], dict):
        fail(f'"cells" is {show(table["cells"])}, expected an object')
    cells = {name: _cell(name, cell) for name, cell in table["cells"].items()}
    genotype = Genotype(table["space"], cells)
    check(genotype, ops)
    return genotype


def check(genotype: Genotype, ops: Collection[str] | None = None) -> None:
    """Raises GenotypeError unless every cell is a chain of nodes made from earlier nodes.

    Where `ops` is given, every operation must be one of them.
    """
    if not isinstance(genotype.space, str) or not genotype.space:
        fail(f"the space is called {show(genotype.space)}, expected a name")
    if not genotype.cells:
        fail("there are no cells")
    for name, cell in genotype.cells.items():
        _check_cell(name, cell, ops)


def _check_cell(name: str, cell: Cell, ops: Collection[str] | None) -> None:
    location = f"in the cell {show(name)}"
    if not is_int(cell.inputs) or cell.inputs < 1:
        fail(f'{location} "inputs" is {show(cell.inputs)}, expected a positive number')
    if not cell.edges:
        fail(f"{location} there are no edges")
    for source, target, op in cell.edges:
        edge_text = f"{location} the edge [{show(source)}, {show(target)}, {show(op)}]"
        if not (is_int(source) and is_int(target) and isinstance(op, str)):
            fail(f"{edge_text} is not [source, target, operation]")
        if not 0 <= source < target:
            fail(f"{edge_text} does not run from an earlier to a later node: that is a cycle")
        if target < cell.inputs:
            fail(f"{edge_text} enters node {target}, which is an input")
        if ops is not None and op not in ops:
            fail(f"{edge_text} has an unknown operation; known are {', '.join(sorted(ops))}")
    targets = {target for _, target, _ in cell.edges}
    nodes = set(range(cell.inputs, cell.inputs + len(targets)))
    if targets != nodes:
        gap, last = min(nodes - targets), max(targets)
        fail(f"{location} no edge enters node {gap}, but node {last} has one")
    if not cell.concat or len(set(cell.concat)) != len(cell.concat):
        fail(f'{location} "concat" is {show(list(cell.concat))}: name one node or more, each once')
    unknown = [node for node in cell.concat if node not in nodes]
    if unknown:
        fail(
            f'{location} "concat" names {show(unknown[0])}; nodes are {min(nodes)} to {max(nodes)}'
        )


def parse_json(text: str) -> Any:
    if len(text) > LIMIT:
        fail(f"{len(text):,} characters; a genotype has at most {LIMIT:,}")
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_once)
    except GenotypeError:
        raise
    except RecursionError:
        fail("the brackets are nested too deeply")
    except ValueError as error:
        fail(f"the text is not JSON ({error})")


def _no_number(text: str) -> NoReturn:
    fail(f"{text} is no number that a genotype has")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        fail(f"one of the names {show([name for name, _ in pairs])} stands twice")
    return table


def _cell(name: str, cell: Any) -> Cell:
    if not isinstance(cell, dict):
        fail(f"the cell {show(name)} is {show(cell)}, expected an object")
    check_keys(cell, ("inputs", "concat", "edges"), f"the cell {show(name)}")
    for field in ("edges", "concat"):
        if not isinstance(cell[field], list):
            fail(f'in the cell {show(name)} "{field}" is {show(cell[field])}, not a list')
    for edge in cell["edges"]:
        if not isinstance(edge, list) or len(edge) != 3:
            fail(f"in the cell {show(name)} {show(edge)} is not [source, target, operation]")
    if not all(map(is_int, cell["concat"])):
        fail(f'in the cell {show(name)} "concat" is {show(cell["concat"])}, expected nodes')
    edges = tuple((s, t, op) for s, t, op in cell["edges"])
    return Cell(edges, cell["inputs"], tuple(cell["concat"]))


def check_keys(table: Mapping[str, Any], expected: Collection[str], location: str) -> None:
    missing = [key for key in expected if key not in table]
    unknown = [key for key in table if key not in expected]
    if missing:
        fail(f"{location} has no {missing[0]!r}")
    if unknown:
        fail(f"{location} has {show(unknown[0])}, which means nothing here")


def is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def show(value: Any) -> str:
    try:
        text = repr(value[:60] if isinstance(value, (str, list, tuple)) else value)
    except (RecursionError, ValueError):  # nested deeply, or a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


def fail(cause: str) -> NoReturn:
    raise GenotypeError(f"Not a genotype: {cause}.") from None


def skips(genotype: Genotype, name: str = "skip_connect") -> dict[str, int]:
    """The number of skip connections in each cell."""
    return {
        cell: sum(op == name for _, _, op in cell_genotype.edges)
        for cell, cell_genotype in genotype.cells.items()
    }
