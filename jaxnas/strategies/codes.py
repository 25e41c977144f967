"""Networks as rows of numbers, `i[positions]` as in `latency.layout`, and back."""

import itertools

import numpy as np

from jaxnas.core.types import Space
from jaxnas.spaces import dataflow, genome, op_names, registry
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError


def of_genotype(space: Space, found: Genotype) -> np.ndarray:
    """i64[positions]; -1: the edge is not there. Raises GenotypeError for another space's."""
    every = [edge for cell in found.cells.values() for edge in cell.edges]
    own = {name: found.cells[name].edges if name in found.cells else every for name in space}
    standing = {name: {(s, t): op for s, t, op in edges} for name, edges in own.items()}
    row, known = [], 0
    for position in genome.positions(space):
        op = standing[position.choice].get(position.edge)
        if op is not None and op not in position.candidates:
            raise GenotypeError(
                f"The space has no {op!r} at {position.edge}, only "
                f"{', '.join(position.candidates)}: the genotype is of another space."
            )
        known += op is not None
        row.append(-1 if op is None else position.candidates.index(op))
    chain = genome.is_chain(space)
    if not known or (not chain and known != len(every)) or (chain and -1 in row):
        raise GenotypeError("The genotype has edges that the space has not: it is of another.")
    for before, behind in itertools.pairwise(every if chain else ()):
        if not op_names.connect(before[2:], behind[2:]).all():
            raise GenotypeError(f"{behind[2]!r} follows {before[2]!r}, which has another width.")
    return np.array(row)


def to_genotype(entry: registry.Entry, network: np.ndarray) -> Genotype:
    """The genotype of i[positions], a network of the space."""
    return entry.select(entry.space, genome.one_hot(entry.space, network))


def pruned(entry: registry.Entry, networks: np.ndarray) -> np.ndarray:
    """i64[N, positions]: each network as it is deployed, `none` on its dead edges.

    In chains nothing is dead, nor in cells of two edges a node.
    """
    space = entry.space
    if genome.is_chain(space) or entry.pairs:
        return np.asarray(networks)
    plan, positions = to_genotype(entry, networks[0]), genome.positions(space)
    at = {(p.choice, p.edge): i for i, p in enumerate(positions)}

    def one(network: np.ndarray) -> list[int]:
        cells = {}
        for name, cell in plan.cells.items():
            edges = tuple(
                (s, t, positions[i].candidates[network[i]])
                for s, t, _ in cell.edges
                for i in [at[name, (s, t)]]
            )
            cells[name] = Cell(edges, cell.inputs, cell.concat)
        left = dataflow.remove_dead_edges(plan._replace(cells=cells))
        ops = {(name, (s, t)): op for name, cell in left.cells.items() for s, t, op in cell.edges}
        return [p.candidates.index(ops[p.choice, p.edge]) for p in positions]

    return np.array([one(network) for network in networks])
