"""The networks of a search space as designs: the draws of its distribution."""

import numpy as np

from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace
from jaxnas.strategies.designs.design_space import Designs, DesignSpace, Variable


def of_space(space: SearchSpace) -> DesignSpace:
    """The design space whose decoded designs are the genotypes of a search space.

    A variable is a draw of `SearchSpace.distribution`: a candidate at a position, in DARTS's cells
    also the pair of edges that a node keeps, in a grid the transition from each width. Draws that
    are inactive in a network, and dead edges, have no effect.
    """
    distribution, genome = space.distribution, space.genome
    if distribution.factorised:
        variables = [
            Variable(f"{p.choice}.{p.edge[1]}<-{p.edge[0]}", p.candidates) for p in genome.positions
        ]
    else:
        variables = [
            Variable(f"draw.{d}", tuple(range(size)))
            for d, size in enumerate(distribution.cardinalities)
        ]

    def genomes(designs: Designs) -> np.ndarray:
        return np.asarray(distribution.genomes(np.asarray(designs), np))

    def canonical(designs: Designs) -> Designs:
        designs = np.asarray(designs, np.int64)
        if distribution.factorised:
            return np.asarray(genome.canonical(designs), np.int64)
        return np.where(distribution.active(designs), designs, 0)

    def is_valid(designs: Designs) -> np.ndarray:
        return np.asarray(genome.is_valid(genome.canonical(genomes(designs))), bool)

    def decode(row: np.ndarray) -> Genotype:
        return genome.decode(genomes(np.asarray(row)[None])[0])

    return DesignSpace(tuple(variables), decode, canonical, is_valid)
