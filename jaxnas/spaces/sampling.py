"""Networks of a space: its corners, samples of the gates' distribution, the cheapest."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from jaxnas.core.types import NONE, Space
from jaxnas.spaces import dataflow, genome
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces.distribution import ArchDistribution
from jaxnas.spaces.genome import Genome
from jaxnas.spaces.genotype import Genotype
from jaxnas.spaces.search_space import SearchSpace

# Of spaces too large to enumerate: draws at each temperature f, which are gates ** (1 / f).
POOL_DRAWS, TEMPERATURES = 2000, (1.0, 2.0, 4.0, 8.0)
MIN_PROBABILITY = 1e-9  # closed gates may be drawn too: no other network may satisfy a constraint
REPRESENTATIVES = 8000  # draws that represent a space too large to enumerate
STARTS = 4  # of a descent
DRAWS = 100  # of a random network, until one is connected


class CandidatePool(NamedTuple):
    genomes: np.ndarray  # i64[N, positions], different, without dead edges
    log_probability: np.ndarray  # f64[N]


def random_genotype(space: SearchSpace, seed: int) -> Genotype:
    """A random genotype of the space, with as many edges as a searched one.

    The discretisation of random gates: all pairs of edges are equally likely, and so are all
    candidates that may be selected. Networks without a path from input to output are drawn anew.
    """
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        gates = {name: random.random(choice.shape) for name, choice in space.choices.items()}
        genotype = space.discretise(space.choices, gates)
        if dataflow.is_connected(genotype):
            break
    return genotype


def sample_pool(
    space: SearchSpace, gates: Mapping[str, np.ndarray], seed: int = 0
) -> CandidatePool:
    """All networks of a small space, else samples of the gates at several temperatures.

    A genome represents all that are equal without their dead edges; those whose inputs do not
    reach the output are excluded.
    """
    distribution = space.distribution
    shares = distribution.normalise({name: np.asarray(g, float) for name, g in gates.items()})
    rows = [
        np.maximum(np.asarray(row, float), MIN_PROBABILITY)
        for row in distribution.probabilities(shares)
    ]
    rows = [row / row.sum() for row in rows]
    if distribution.factorised and genome.is_enumerable(space.genome.space):
        draws = np.concatenate(list(genome.enumerate_all(space.genome.space)))
    else:
        draws = _draw(rows, seed)
    logs = np.stack([np.log(row)[draws[:, d]] for d, row in enumerate(rows)], 1)
    # Inactive draws may have any outcome: a network is counted once.
    networks, first = np.unique(distribution.genomes(draws, np), axis=0, return_index=True)
    log_probability = np.where(distribution.active(draws), logs, 0.0).sum(1)[first]
    canonical = space.genome.canonical(networks)
    valid = space.genome.is_valid(canonical)
    genomes, member = np.unique(canonical[valid], axis=0, return_inverse=True)
    total = np.full(len(genomes), -np.inf)
    np.logaddexp.at(total, member.ravel(), log_probability[valid])
    return CandidatePool(genomes, total)


def anchors(code: Genome) -> list[Genotype]:
    """The corners of a space.

    For each operation: the network that has it on every edge (the empty and the largest network are
    among these), and if all edges may be `none`, the one that has it only on the edge from the
    first to the last node.
    """
    space = code.space
    names = dict.fromkeys(op for c in space.values() for row in c.candidates for op in row)
    corners = [code.discretise(space, equal_gates(space, {name: 1.0})) for name in names]
    if all(NONE in row for c in space.values() for row in c.candidates):
        for name in names:
            gates = equal_gates(space, {NONE: 1.0})
            for key, choice in space.items():
                ends = min(e[0] for e in choice.edges), max(e[1] for e in choice.edges)
                if ends in choice.edges and name in (row := choice.candidates[0]):
                    gates[key][choice.edges.index(ends), row.index(name)] = 2.0
            corners.append(code.discretise(space, gates))
    return list({genotypes.compact(dataflow.remove_dead_edges(g)): g for g in corners}.values())


def equal_gates(space: Space, values: dict[str, float]) -> dict[str, np.ndarray]:
    """Gates that are the same on every edge, by candidate; 0 where `values` has none."""
    return {
        key: np.array([[values.get(op, 0.0) for op in row] for row in choice.candidates])
        for key, choice in space.items()
    }


def representatives(space: SearchSpace, seed: int = 0) -> np.ndarray:
    """i[N, positions]: the corners of a space and random networks."""
    corners = [space.genome.encode(genotype) for genotype in anchors(space.genome)]
    networks = space.distribution.genomes(_random_draws(space.distribution, seed), np)
    return np.unique(np.concatenate([np.array(corners), networks]), axis=0)


def minimise(space: SearchSpace, cost: Callable[[np.ndarray], np.ndarray]) -> float:
    """The minimum of `cost`, f64[N] of i[N, positions], by local search from the best of many.

    A move changes one draw, and draws that become active with it.
    """
    distribution = space.distribution
    draws = _random_draws(distribution, 0)
    costs = cost(distribution.genomes(draws, np))
    best, lowest = draws[np.argsort(costs)[:STARTS]], float(costs.min())
    for _ in range(len(distribution.cardinalities)):
        moves = np.concatenate([_neighbours(distribution, row, best) for row in best])
        costs = cost(distribution.genomes(moves, np))
        if costs.min() >= lowest - 1e-12:
            break
        best, lowest = moves[np.argsort(costs)[:STARTS]], float(costs.min())
    return min(lowest, float(cost(representatives(space)).min()))


def _draw(rows: list[np.ndarray], seed: int) -> np.ndarray:
    generator, draws = np.random.default_rng(seed), [np.array([[row.argmax() for row in rows]])]
    for temperature in TEMPERATURES:
        columns = []
        for row in rows:
            cumulative = np.cumsum(row ** (1 / temperature))
            drawn = np.searchsorted(
                cumulative, generator.random(POOL_DRAWS) * cumulative[-1], side="right"
            )
            columns.append(np.minimum(drawn, len(row) - 1))
        draws.append(np.stack(columns, 1))
    return np.unique(np.concatenate(draws), axis=0)


def _random_draws(distribution: ArchDistribution, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return np.stack(
        [generator.integers(0, size, REPRESENTATIVES) for size in distribution.cardinalities], 1
    )


def _neighbours(distribution: ArchDistribution, row: np.ndarray, others: np.ndarray) -> np.ndarray:
    """i[moves, D]: every outcome of every draw; inactive draws are those of each of `others`."""
    inactive = ~distribution.active(row[None])[0]
    moves = []
    for start in (np.where(inactive, other, row) for other in others):
        for d, size in enumerate(distribution.cardinalities):
            changed = np.repeat(start[None], size, 0)
            changed[:, d] = np.arange(size)
            moves.append(changed)
    return np.concatenate(moves)
