"""Design spaces: values, networks of every search space, products, restrictions, variation."""

import numpy as np
import pytest

from jaxnas.spaces import dataflow, registry
from jaxnas.strategies.designs import combine, design_space, features, networks, variation
from tests.strategies.toys import CELLS, TEN


@pytest.mark.parametrize("name", ["nasbench201", "darts", "hypercuboid", "mobile-fbnet"])
def test_networks_of_a_space_decode_to_its_genotypes(name):
    space = registry.get(name, 3 if name == "hypercuboid" else None)
    designs = networks.of_space(space)
    rows = variation.sample(designs, np.random.default_rng(0), 30)
    assert len(rows) == 30
    canonical = designs.canonical(rows)
    np.testing.assert_array_equal(canonical, rows)
    decoded = [designs.decode(row) for row in rows]
    assert len(set(map(str, decoded))) == 30  # different designs are different networks
    for genotype in decoded:
        space.genome.encode(genotype)  # which raises for a network of another space
        assert dataflow.is_connected(genotype)
    mutated = variation.mutate(designs, np.random.default_rng(1), rows)
    np.testing.assert_array_equal((mutated != rows).sum(1), 1)
    again = designs.canonical(mutated)
    np.testing.assert_array_equal(designs.canonical(again), again)


def test_connected_cells_without_dead_edges_are_as_many_as_there_are():
    rows = np.concatenate(list(design_space.enumerate_all(CELLS)))
    assert design_space.count(CELLS) == 15625
    every = np.stack(np.unravel_index(np.arange(15625), CELLS.cardinalities), 1)
    canonical = np.unique(CELLS.canonical(every), axis=0)
    np.testing.assert_array_equal(rows, canonical[CELLS.is_valid(canonical)])


def test_values_combine_and_numbers_are_a_scale():
    space = design_space.of_values({"rate": (0.1, 0.01), "depth": (1, 2, 4), "op": ("a", "b")})
    assert [v.is_ordered for v in space.variables] == [True, True, False]
    assert space.decode(np.array([1, 2, 0])) == {"rate": 0.01, "depth": 4, "op": "a"}
    codes = features.one_hot(space, np.array([[0, 0, 0], [0, 2, 0], [1, 1, 1]]))
    np.testing.assert_array_equal(codes, [[0, 0, 0, 1, 0], [0, 1, 1, 1, 0], [1, 1, 0, 0, 1]])
    with pytest.raises(ValueError, match="empty has no values"):
        design_space.of_values({"empty": ()})


def test_a_product_decodes_its_parts():
    both = combine.product(net=CELLS, recipe=TEN)
    row = np.concatenate([np.arange(6) % 5, [3, 1]])
    decoded = both.decode(row)
    assert decoded["recipe"] == {"a": 4, "b": "y"}
    assert decoded["net"] == CELLS.decode(row[:6])
    assert both.variables[-1].name == "recipe.b"
    dead = np.zeros((1, 8), np.int64)
    np.testing.assert_array_equal(both.is_valid(dead), [False])
    np.testing.assert_array_equal(both.canonical(row[None])[:, :6], CELLS.canonical(row[None, :6]))


def test_restrictions_leave_designs_out():
    fewer = combine.without(TEN, [(0, 4), (1, 0)])
    rows = np.concatenate(list(design_space.enumerate_all(fewer)))
    np.testing.assert_array_equal(rows, [[0, 1], [1, 1], [2, 1], [3, 1]])
    even = combine.restricted(fewer, lambda rows: rows[:, 0] % 2 == 0)
    np.testing.assert_array_equal(
        np.concatenate(list(design_space.enumerate_all(even)))[:, 0], [0, 2]
    )
    assert len(variation.sample(even, np.random.default_rng(0), 9)) == 2


def test_mutation_at_a_rate_and_crossover():
    random, rows = np.random.default_rng(0), np.zeros((4000, 6), int)
    mutated = variation.mutate(CELLS, random, rows, rate=0.25)
    assert (mutated != rows).mean() == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(
        np.bincount(mutated[mutated > 0])[1:] / (mutated > 0).sum(), 0.25, atol=0.02
    )
    crossed = variation.crossover(random, rows, rows + 1)
    assert crossed.mean() == pytest.approx(0.5, abs=0.01)
    with pytest.raises(ValueError, match="one design"):
        variation.mutate(design_space.of_values({"a": (1,)}), random, np.zeros((1, 1), int))


def test_rows_of_another_space_are_refused():
    with pytest.raises(ValueError, match=r"rows of 2 whole numbers, not int64 of the shape"):
        design_space.check(TEN, np.zeros((1, 3), int))
    with pytest.raises(ValueError, match="a is 5 in a design, which has values 0 to 4"):
        design_space.check(TEN, np.array([[0, 0], [5, 0]]))
