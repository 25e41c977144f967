"""Genomes and genotypes are two ways to write the networks of a space, and nothing else."""

import functools
import itertools

import numpy as np
import pytest

from jaxnas.spaces import choices, dataflow, discretise, genome, registry
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.darts import entry as darts
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.spaces.hypercuboid import entry as hypercuboid
from jaxnas.spaces.mobile import entry as mobile
from jaxnas.spaces.nasbench201 import entry as nasbench201
from tests import mobile_toys

OPS = ("none", "skip_connect", "sep_conv_3x3")
# Nodes 2 and 3 of each cell keep two edges, with one of two operations each.
DARTS = darts.entry(
    choices={
        "normal": choices.uniform(choices.dag(2, 2), OPS),
        "reduce": darts_choices.s1()["reduce"],
    },
    genotype_space="mine",
)
BENCHMARK, GRID = nasbench201.entry(), hypercuboid.entry(2)
CHAIN = mobile.entry(mobile_toys.single_path, name="tiny", summary="")
# Two cells of unlike edges, some of which make data out of nothing.
LISTS = ("noise", "none", "skip_connect"), ("none", "skip_connect", "noise")
UNLIKE = {
    "cell": choices.uniform(choices.dag(1, 3), LISTS[1])._replace(
        candidates=(LISTS[0],) + (LISTS[1],) * 5
    ),
    "side": choices.uniform(choices.dag(1, 2), ("skip_connect", "none")),
}
SIZE = 3**6 * 2**3
NOISY = genome.of_space(
    UNLIKE, functools.partial(discretise.argmax_per_edge, name="mine"), has_dead_edges=True
)


def all_of_cells(space):
    """Every choice of two edges a node and an operation for each, in the first of two cells."""
    positions, rows = space.genome.positions, []
    normal = [p for p, position in enumerate(positions) if position.choice == "normal"]
    nodes = [[p for p in normal if positions[p].edge[1] == node] for node in (2, 3)]
    reduce = np.full(len(positions), -1)
    for node in (2, 3, 4, 5):
        into = [p for p, q in enumerate(positions) if (q.choice, q.edge[1]) == ("reduce", node)]
        reduce[into[-2:]] = 1
    for kept in itertools.product(*(itertools.combinations(node, 2) for node in nodes)):
        for taken in itertools.product((1, 2), repeat=4):
            row = reduce.copy()
            row[list(itertools.chain(*kept))] = taken
            rows.append(row)
    return np.array(rows)


def all_of_positions(space):
    return np.array(list(itertools.product(*map(range, space.genome.cardinalities))))


def all_paths(space):
    """Those whose layers begin with the width that the layer before gives."""
    names = [position.candidates for position in space.genome.positions]
    ends = lambda layer, op: names[layer][op].partition(":")[2].split("-")
    joined = lambda row: all(
        ends(i, row[i])[1] == ends(i + 1, row[i + 1])[0] for i in range(len(row) - 1)
    )
    return np.array([row for row in all_of_positions(space) if joined(row)])


SMALL = {
    "cells": (DARTS, all_of_cells, 3 * 2**4),
    "benchmark": (BENCHMARK, all_of_positions, 5**6),
    "grid": (GRID, all_paths, 3 * 3 * 4),
    "chain": (CHAIN, all_of_positions, 4 * 5),
}


@functools.cache
def networks(name):
    space, rows_of, _ = SMALL[name]
    rows = rows_of(space)
    return space, rows, [space.genome.decode(row) for row in rows]


@pytest.mark.parametrize("name", SMALL)
def test_every_network_of_a_small_space_has_one_genome_and_one_genotype(name):
    space, rows, genotypes = networks(name)
    assert len(rows) == SMALL[name][2] == len(set(map(repr, genotypes)))
    np.testing.assert_array_equal([space.genome.encode(each) for each in genotypes], rows)
    for row, genotype in zip(rows[:20], genotypes, strict=False):
        assert space.genome.decode(space.genome.encode(genotype)) == genotype
        assert space.genome.encode(genotype).dtype == np.int64 == row.dtype


@pytest.mark.parametrize("name", registry.SPACES)
def test_encode_and_decode_are_inverse_in_every_registered_space(name):
    space, random = registry.get(name), np.random.default_rng(0)
    for _ in range(10):
        gates = {key: random.random(choice.shape) for key, choice in space.choices.items()}
        genotype = space.discretise(space.choices, gates)
        row = space.genome.encode(genotype)
        decoded = space.genome.decode(row)
        np.testing.assert_array_equal(space.genome.encode(decoded), row)
        # A row does not say which edge of a node is the stronger.
        assert decoded.space == genotype.space == space.genotype_space
        for key, cell in genotype.cells.items():
            assert sorted(decoded.cells[key].edges) == sorted(cell.edges)
            assert decoded.cells[key][1:] == cell[1:]


@pytest.mark.parametrize("name", SMALL)
def test_one_hot_gates_open_one_network_each_and_come_in_batches(name):
    space, rows, genotypes = networks(name)
    some = np.random.default_rng(0).permutation(len(rows))[:40]
    batch = space.genome.one_hot(rows[some])
    assert {key: gate.shape[1:] for key, gate in batch.items()} == {
        key: choice.shape for key, choice in space.choices.items()
    }
    blocks = space.genome.one_hot(rows[some][:20].reshape(4, 5, -1))
    for n, i in enumerate(some):
        alone = space.genome.one_hot(rows[i])
        for key, gate in alone.items():
            assert gate.dtype == np.float32 and set(np.unique(gate)) <= {0, 1}
            np.testing.assert_array_equal(batch[key][n], gate)
            if n < 20:
                np.testing.assert_array_equal(blocks[key][n // 5, n % 5], gate)
        # As the search selects, too.
        assert space.discretise(space.choices, alone) == genotypes[i]


def test_positions_follow_choices_and_their_edges():
    positions = BENCHMARK.genome.positions
    assert [p.edge for p in positions] == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    assert [p.row for p in positions] == list(range(6))
    assert NOISY.cardinalities == (3,) * 6 + (2,) * 3
    assert {p.choice for p in DARTS.genome.positions[:5]} == {"normal"}
    with pytest.raises(ValueError, match="has no choices"):
        genome.positions({})


def test_chains_are_told_from_cells():
    assert genome.is_chain(CHAIN.choices) and genome.is_chain(GRID.genome.space)
    assert not any(genome.is_chain(of.choices) for of in (BENCHMARK, DARTS))
    # Its layers that may be skipped stand in another choice than those before them.
    order = genome.chain_order(registry.get("mobile-fbnet", 2).choices)
    edges = [p.edge for p in genome.positions(registry.get("mobile-fbnet", 2).choices)]
    assert [edges[p] for p in order] == sorted(edges) != edges


def test_what_is_small_is_enumerated_in_order_and_found_again():
    for space, size in ((BENCHMARK.choices, 5**6), (UNLIKE, SIZE)):
        assert genome.is_enumerable(space)
        rows = np.concatenate(list(genome.enumerate_all(space)))
        assert rows.shape == (size, len(genome.positions(space)))
        np.testing.assert_array_equal(
            rows, list(itertools.product(*map(range, genome.cardinalities(space))))
        )
        np.testing.assert_array_equal(genome.index(space, rows), np.arange(size))
        assert int(genome.index(space, rows[77])) == 77
        chunks = list(genome.enumerate_all(space, chunk=100))
        assert {len(chunk) for chunk in chunks[:-1]} == {100}
        np.testing.assert_array_equal(np.concatenate(chunks), rows)
    # Paths are not all that their positions allow, and DARTS's cells are too many.
    assert not genome.is_enumerable(CHAIN.choices)
    assert not genome.is_enumerable(registry.get("darts").choices)


def test_samples_are_of_the_space_and_the_same_for_a_seed():
    rows = genome.sample_distinct(UNLIKE, SIZE, seed=1)
    assert len(set(genome.index(UNLIKE, rows).tolist())) == SIZE
    np.testing.assert_array_equal(
        genome.sample_distinct(UNLIKE, 20, seed=3), genome.sample_distinct(UNLIKE, 20, seed=3)
    )
    for count in (0, SIZE + 1):
        with pytest.raises(ValueError, match=r"ask for 1 to 5,832\.$"):
            genome.sample_distinct(UNLIKE, count, seed=0)
    rows = genome.sample_uniform(UNLIKE, 3000, seed=2)
    assert rows.min() == 0 and (rows.max(0) == np.array(genome.cardinalities(UNLIKE)) - 1).all()
    shares = [np.bincount(column, minlength=3) / 3000 for column in rows.T[:6]]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.04)


@pytest.mark.parametrize("code", [BENCHMARK.genome, NOISY], ids=["benchmark", "noise"])
def test_canonical_removes_the_edges_that_are_dead_and_no_others(code):
    rows = np.concatenate(list(genome.enumerate_all(code.space)))
    canonical, before = code.canonical(rows), rows.copy()
    pruned = [dataflow.remove_dead_edges(code.decode(row)) for row in rows]
    np.testing.assert_array_equal(canonical, [code.encode(genotype) for genotype in pruned])
    np.testing.assert_array_equal(code.canonical(canonical), canonical)
    np.testing.assert_array_equal(rows, before)
    unique, first = np.unique(canonical, axis=0, return_index=True)
    valid = [dataflow.is_connected(pruned[i]) for i in first]
    np.testing.assert_array_equal(code.is_valid(unique), valid)
    assert 0 < sum(valid) < len(unique) < len(rows)


@pytest.mark.parametrize("name", ["darts", "darts-s4", "hypercuboid", "mobile-proxyless"])
def test_where_nothing_dies_every_network_is_its_own_canonical_form(name):
    space, random = registry.get(name), np.random.default_rng(1)
    for _ in range(10):
        gates = {key: random.random(choice.shape) for key, choice in space.choices.items()}
        genotype = space.discretise(space.choices, gates)
        row = space.genome.encode(genotype)[None]
        assert dataflow.remove_dead_edges(genotype) == genotype
        assert space.genome.canonical(row).tolist() == row.tolist()
        assert space.genome.is_valid(row).tolist() == [dataflow.is_connected(genotype)] == [True]


def with_edges(genotype, change):
    name, cell = next(iter(genotype.cells.items()))
    return genotype._replace(
        cells={**genotype.cells, name: cell._replace(edges=change(cell.edges))}
    )


def path(*ops):
    edges = tuple((i, i + 1, op) for i, op in enumerate(ops))
    return Genotype("hypercuboid", {"grid": Cell(edges, 1, (len(edges),))})


def chain_of(name, cells):
    space, random = registry.get(name, cells), np.random.default_rng(0)
    return space.genome.decode([random.integers(n) for n in space.genome.cardinalities])


DARTS_V2 = published.PUBLISHED["DARTS_V2"]
WIDE = ("sep_conv_3x3:1-2", "sep_conv_3x3:4-4")


@pytest.mark.parametrize(
    ("space", "genotype", "cause"),
    [
        (BENCHMARK, DARTS_V2, r"has no 'max_pool_3x3' at \(0, 2\), only none, skip_connect, "),
        (BENCHMARK, path("sep_conv_3x3:1-2"), "no 'sep_conv_3x3:1-2' at"),
        (registry.get("darts-s2"), DARTS_V2, "the genotype is of another space"),
        (CHAIN, path("k3_e3"), "has other edges than the space"),
        (DARTS, DARTS_V2, "has other edges than the space: it is of another, or of other --cells"),
        (GRID, chain_of("mobile-fbnet", 1), "has no 'k"),
        (registry.get("mobile-fbnet", 2), chain_of("mobile-fbnet", 1), "or of other --cells"),
        (registry.get("mobile-fbnet", 1), chain_of("mobile-fbnet", 2), "of another"),
        (registry.get("hypercuboid", 3), path("sep_conv_3x3:1-4", WIDE[1]), "other --cells"),
        (GRID, path(*WIDE), "'sep_conv_3x3:4-4' follows 'sep_conv_3x3:1-2', which has another"),
        (GRID, path("sep_conv_3x3:1-4"), "has other edges than the space"),
        (BENCHMARK, Genotype("mine", {"cell": Cell(((0, 9, "none"),), 1, (9,))}), "other edges"),
    ],
)
def test_genotypes_of_other_spaces_are_refused_in_one_line(space, genotype, cause):
    with pytest.raises(GenotypeError, match=cause) as refused:
        space.genome.encode(genotype)
    assert "\n" not in str(refused.value)


def test_a_chain_needs_all_of_its_layers_and_cells_no_more_than_their_edges():
    whole = CHAIN.genome.decode(np.array([1, 2]))
    lost = with_edges(whole, lambda edges: edges[:-1])
    more = lambda edges: (*edges, *((n, n + 1, "k3_e1") for n in range(len(edges), 9)))
    cell = BENCHMARK.genome.decode(np.zeros(6, int))
    twice = with_edges(cell, lambda edges: (*edges, edges[0]))
    for space, wrong in ((CHAIN, lost), (CHAIN, with_edges(whole, more)), (BENCHMARK, twice)):
        with pytest.raises(GenotypeError, match="other edges than the space"):
            space.genome.encode(wrong)
    # Cells may lack edges: those of DARTS do, by a threshold a cell may keep still fewer.
    some = with_edges(cell, lambda edges: edges[1:])
    assert BENCHMARK.genome.encode(some).tolist() == [-1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        (np.zeros((3, 5), int), r"have 6 positions, the array has the shape \(3, 5\)"),
        (np.zeros(6, int), "have 6 positions"),
        (np.zeros((3, 6)), "whole numbers, indices of candidates, not float64"),
        (np.full((3, 6), 5), "Network 0 has candidate 5 at position 0, which has 0 to 4"),
        (np.full((3, 6), -2), "Network 0 has candidate -2"),
    ],
)
def test_rows_of_other_spaces_are_refused_in_one_line(rows, cause):
    with pytest.raises(ValueError, match=cause) as refused:
        genome.check(BENCHMARK.choices, rows)
    assert "\n" not in str(refused.value)


def test_rows_and_gates_of_the_space_are_taken_as_they_are():
    rows = np.array([[-1, 0, 1, 2, 3, 4]], np.int8)
    checked = genome.check(BENCHMARK.choices, rows)
    assert checked.tolist() == rows.tolist() and checked.dtype == np.int64
    gates = BENCHMARK.genome.one_hot(rows[0])
    assert not gates["cell"][0].any() and (gates["cell"][1:].sum(1) == 1).all()
    genome.check_gates(BENCHMARK.choices, gates)
    for wrong in ({}, {"cell": gates["cell"][1:]}):
        with pytest.raises(ValueError, match=r"'cell' are .*, expected \(6, 5\)"):
            genome.check_gates(BENCHMARK.choices, wrong)


def test_a_mutation_changes_one_position_and_reaches_every_candidate():
    space = registry.get("nasbench201").choices
    rows = np.tile([0, 1, 2, 3, 4, 0], (3000, 1))
    mutated = genome.mutate(space, rows, np.random.default_rng(0))
    changed = mutated != rows
    assert (changed.sum(1) == 1).all()
    # Six positions and four other candidates each: 24 ways, 125 times on average.
    ways, counts = np.unique(np.argwhere(changed)[:, 1] * 5 + mutated[changed], return_counts=True)
    assert len(ways) == 24 and counts.min() > 80 and counts.max() < 170
    assert (rows == [0, 1, 2, 3, 4, 0]).all()


def test_a_space_of_one_network_has_no_mutation():
    space = {"cell": choices.uniform(((0, 1),), ("tanh",))}
    with pytest.raises(ValueError, match="nothing to mutate"):
        genome.mutate(space, np.zeros((1, 1), int), np.random.default_rng(0))
