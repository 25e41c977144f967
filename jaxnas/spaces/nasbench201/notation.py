"""NAS-Bench-201's own notation of a cell: `|op~source|+|op~source|op~source|+...`."""

from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.genotype import Cell, Genotype


def from_arch(text: str) -> Genotype:
    """A cell such as `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|`, nodes joined by `+`.

    Raises GenotypeError.
    """
    if not isinstance(text, str) or len(text) > genotypes.LIMIT:
        genotypes.fail(
            "NAS-Bench-201 writes a cell as a short text |op~source|+|op~source|op~source|+..."
        )
    edges = []
    for node, group in enumerate(text.strip().split("+"), 1):
        parts = [part.split("~") for part in group.strip("|").split("|")]
        if not all(len(p) == 2 and p[0] and p[1].isascii() and p[1].isdecimal() for p in parts):
            genotypes.fail(
                f"expected |op~source|op~source|... for node {node}, found {genotypes.show(group)}"
            )
        if [p[1] for p in parts] != [str(source) for source in range(node)]:
            genotypes.fail(
                f"node {node} takes one edge from each earlier node in order: "
                f"{genotypes.show(group)}"
            )
        edges += [(source, node, op) for source, (op, _) in enumerate(parts)]
    genotype = Genotype("nasbench201", {"cell": Cell(tuple(edges), 1, (edges[-1][1],))})
    genotypes.check(genotype)
    return genotype


def to_arch(genotype: Genotype) -> str:
    """`|nor_conv_3x3~0|+...`. Raises GenotypeError unless every earlier node enters each node."""
    genotypes.check(genotype)
    cell = genotype.cells.get("cell")
    if cell is None or cell.inputs != 1 or len(genotype.cells) != 1:
        genotypes.fail('NAS-Bench-201 has one cell, "cell", with one input')
    nodes = range(1, 1 + max(target for _, target, _ in cell.edges))
    ops = {(source, target): op for source, target, op in cell.edges}
    if set(ops) != {(s, t) for t in nodes for s in range(t)} or len(ops) != len(cell.edges):
        genotypes.fail("NAS-Bench-201 has exactly one edge from each node to every later one")
    return "+".join("|" + "|".join(f"{ops[s, t]}~{s}" for s in range(t)) + "|" for t in nodes)
