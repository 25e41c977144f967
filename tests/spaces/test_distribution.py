"""The distribution over networks that gates define, and what it makes of constraints."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.types import Constraint
from jaxnas.evaluators import supernet
from jaxnas.hardware import cost, counts, expectation
from jaxnas.hardware.predict import fit
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import registry, sampling
from jaxnas.spaces.darts import distribution as darts_distribution
from jaxnas.spaces.darts import entry as darts
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.spaces.hypercuboid import entry as hypercuboid
from jaxnas.spaces.search_space import NetworkSize
from jaxnas.strategies import constrained_selection
from jaxnas.strategies.selection_record import SelectionProblem

# One cell whose last node has three edges, none of them to be `none`.
SMALL = {"normal": spaces.uniform(spaces.dag(2, 2), ("none", "skip_connect", "sep_conv_3x3"))}
PAIRS = darts.entry(choices=SMALL, genotype_space="mine")
GRID = hypercuboid.entry(2)
BOTH = pytest.mark.parametrize("space", [PAIRS, GRID], ids=["pairs", "transitions"])


def gates_of(space, sharp=1.0, seed=0):
    random = np.random.default_rng(seed)
    axis = None if space is GRID else -1
    draw = lambda choice: jnp.array(sharp * random.normal(size=choice.shape))
    return {name: jax.nn.softmax(draw(choice), axis) for name, choice in space.choices.items()}


def all_draws(space):
    return np.array(list(itertools.product(*map(range, space.distribution.cardinalities))))


def log_probabilities(space, gates):
    """(all draws, the logarithm of the probability of each)."""
    rows, draws = space.distribution.probabilities(gates), all_draws(space)
    return draws, sum(jnp.log(row)[draws[:, d]] for d, row in enumerate(rows))


@BOTH
def test_probabilities_add_up_and_every_network_is_one_of_the_space(space):
    of = space.distribution
    draws, logs = log_probabilities(space, gates_of(space))
    assert float(jnp.exp(logs).sum()) == pytest.approx(1, rel=1e-5)
    genomes = of.genomes(draws, np)
    assert (np.asarray(of.genomes(jnp.asarray(draws), jnp)) == genomes).all()
    for row in np.unique(genomes, axis=0)[:20]:
        assert (space.genome.encode(space.genome.decode(row)) == row).all()
    # Draws without a say change nothing.
    active = of.active(draws)
    assert (of.genomes(np.where(active, draws, 0), np) == genomes).all() and not active.all()


def test_pairs_are_drawn_one_after_the_other_by_weight():
    of, gates = PAIRS.distribution, gates_of(PAIRS)
    assert of.cardinalities == (3, 2, 2, 2, 2, 2)
    # Of the last node's three edges, `none` left out.
    a, b, c = np.asarray(gates["normal"])[2:, 1:].sum(1)
    total = a + b + c
    both = lambda x, y: x / total * y / (total - x) + y / total * x / (total - y)
    expected = [both(a, b), both(a, c), both(b, c)]
    np.testing.assert_allclose(of.probabilities(gates)[0], expected, rtol=1e-5)


@BOTH
def test_sharp_gates_mean_what_is_discretised(space):
    select = lambda gates: space.genome.encode(space.discretise(space.choices, gates))
    row = select(gates_of(space))
    hot = {name: jnp.asarray(gate) for name, gate in space.genome.one_hot(row).items()}
    assert (select(hot) == row).all()
    likeliest = [[int(np.argmax(r)) for r in space.distribution.probabilities(hot)]]
    assert (space.distribution.genomes(np.array(likeliest), np)[0] == row).all()


def all_networks(space):
    return np.unique(space.distribution.genomes(all_draws(space), np), axis=0)


def fitted(space):
    networks, random = all_networks(space), np.random.default_rng(0)
    ms = 1 + random.random(len(networks)) * (1 + (networks == 1).sum(1))
    return fit.fit(space.genome.space, networks, ms)


def summed_up(space):
    """A model of costs that add up over cells."""
    random = np.random.default_rng(1).random((5, 3))
    return Predictor(SMALL, "", 1, 0.0, 1.0, np.zeros(1), 0.5, costs=random)


@pytest.mark.parametrize(
    ("space", "make", "near"),
    [(PAIRS, fitted, 5e-3), (PAIRS, summed_up, 1e-5), (GRID, fitted, 1e-5)],
    ids=["cells", "sums over cells", "paths"],
)
def test_expected_latency_is_the_mean_over_the_distribution_and_so_is_its_gradient(
    space, make, near
):
    of, model, gates = space.distribution, make(space), gates_of(space)
    networks = all_networks(space)
    take = expectation.expected(model, of)
    if model.costs is None:
        take = expectation.sampled(model, 4000, draws=of)

    def exact(gates):
        draws, logs = log_probabilities(space, gates)
        return jnp.exp(logs) @ jnp.asarray(model.predict(of.genomes(draws, np))[0])

    value, slope = jax.value_and_grad(take)(gates)
    assert float(value) == pytest.approx(float(exact(gates)), rel=near)
    for name, expected in jax.grad(exact)(gates).items():
        largest = float(jnp.abs(expected).max())
        np.testing.assert_allclose(slope[name], expected, atol=4 * near * largest + 1e-6)
    for row in networks[:: len(networks) // 5]:
        hot = {name: jnp.asarray(gate) for name, gate in space.genome.one_hot(row).items()}
        of_one = expectation.expected(model, of)(hot)
        assert float(of_one) == pytest.approx(float(model.predict(row[None])[0][0]), rel=1e-5)
    ms = model.predict(networks)[0]
    assert cost.bounds(space, model) == pytest.approx((ms.min(), ms.max()), rel=1e-6)


def test_transitions_that_do_not_connect_are_no_path():
    broken = ("sep_conv_3x3:1-2", "sep_conv_3x3:1-4")
    edges = tuple((n, n + 1, op) for n, op in enumerate(broken))
    with pytest.raises(GenotypeError, match="which has another width"):
        GRID.genome.encode(Genotype("hypercuboid", {"grid": Cell(edges, 1, (2,))}))


@BOTH
def test_the_pool_knows_how_likely_each_network_is(space):
    gates = gates_of(space)
    draws, logs = log_probabilities(space, gates)
    expected = {}
    rows = map(tuple, space.distribution.genomes(draws, np))
    for row, p in zip(rows, np.exp(logs), strict=True):
        expected[row] = expected.get(row, 0.0) + float(p)
    pool = sampling.sample_pool(space, gates)
    assert len(pool.genomes) == len(expected)
    for row, log in zip(map(tuple, pool.genomes), pool.log_probability, strict=True):
        assert np.exp(log) == pytest.approx(expected[row], rel=1e-4)


@pytest.mark.parametrize(("name", "cells"), [("darts-s1", 3), ("hypercuboid", 2)])
def test_counts_of_a_few_networks_give_those_of_all(name, cells):
    space = registry.get(name, cells)
    size = NetworkSize(4, cells, 10, (8, 8, 1))
    table = counts.additive_counts(space, size)
    rows = np.random.default_rng(1).permutation(sampling.representatives(space, seed=5))[:5]
    for row in rows:
        exact = counts.exact(space, space.genome.decode(row), size, dead_edges=True)
        for quantity in counts.QUANTITIES:
            assert table[quantity].total(row[None])[0] == pytest.approx(exact[quantity], abs=0.1)


def test_cells_of_darts_are_held_to_macs_and_a_limit_out_of_range_is_refused():
    space, size = registry.get("darts-s1"), NetworkSize(4, 3, 10, (8, 8, 1))
    constraint = Constraint(cost.counted(space, size, "macs", 1e5), 1e5)
    pool = sampling.sample_pool(space, gates_of(space))
    assert len(pool.genomes) > 5000
    score = lambda gates: (gates["normal"].sum((1, 2)) / 8, np.zeros(len(gates["normal"])))
    selected = constrained_selection.select(
        SelectionProblem(space, [cost.check(constraint)], pool),
        supernet.shared_weights(space, score),
    )
    target = selected.record["targets"]["macs"]
    assert target["holds"] and 0.95e5 <= target["predicted"] <= 1e5
    # Evaluated with its own eight edges open.
    assert selected.record["accuracy"] == 1.0
    assert len(selected.genotype.cells["normal"].edges) == 8
    exact = counts.exact(space, selected.genotype, size)["macs"]
    assert exact == pytest.approx(target["predicted"], abs=0.1)
    with pytest.raises(cost.ConstraintError, match="the cheapest network takes more"):
        cost.check(constraint._replace(limit=1.0))


def test_a_distribution_takes_gates_of_its_space_alone():
    with pytest.raises(ValueError, match="was fitted for another space"):
        darts_distribution.pairs(SMALL).probabilities({"normal": jnp.ones((4, 3))})
