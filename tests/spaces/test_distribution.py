"""What gates mean where a network has not all edges: the laws, and what they make of a target."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.stages import StageResult
from jaxnas.hardware import cost, counts, expected, programs
from jaxnas.hardware.measure import dataset
from jaxnas.hardware.predict import fit
from jaxnas.hardware.predict.predictor import Predictor
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import discretise, registry
from jaxnas.spaces.darts import distribution as darts_distribution
from jaxnas.spaces.genotype import Cell, Genotype, GenotypeError
from jaxnas.strategies import codes, constrained_selection, laws, pool

# One cell whose last node has three edges, none of them to be `none`.
SMALL = {"normal": spaces.uniform(spaces.dag(2, 2), ("none", "skip_connect", "sep_conv_3x3"))}
PAIRS = registry.entry("darts")._replace(
    space=SMALL,
    select=lambda space, gates: discretise.top_edges_per_node(space, gates, name="mine"),
)
GRID = registry.measured("hypercuboid", 2)
SMALL_GRID = GRID._replace(
    space=spaces.as_chain(spaces.hypercuboid(2, 3), registry.WIDTHS),
    searched=spaces.hypercuboid(2, 3),
)
BOTH = pytest.mark.parametrize("entry", [PAIRS, SMALL_GRID], ids=["pairs", "steps"])


def gates_of(entry, sharp=1.0, seed=0):
    random = np.random.default_rng(seed)
    space, axis = entry.searched or entry.space, None if entry.searched else -1
    draw = lambda choice: jnp.array(sharp * random.normal(size=choice.shape))
    return {name: jax.nn.softmax(draw(choice), axis) for name, choice in space.items()}


def everything(law):
    return np.array(list(itertools.product(*map(range, law.sizes))))


def chances(law, gates):
    """(all draws, the probability of each)."""
    rows, every = law.rows(gates), everything(law)
    return every, sum(jnp.log(row)[every[:, d]] for d, row in enumerate(rows))


@BOTH
def test_probabilities_add_up_and_every_network_is_one_of_the_space(entry):
    law = laws.of(entry)
    every, logs = chances(law, gates_of(entry))
    assert float(jnp.exp(logs).sum()) == pytest.approx(1, rel=1e-5)
    networks = law.network(every, np)
    assert (np.asarray(law.network(jnp.asarray(every), jnp)) == networks).all()
    for network in np.unique(networks, axis=0)[:20]:
        found = codes.to_genotype(entry, network)
        assert (codes.of_genotype(entry.space, found) == network).all()
    # Draws that had no say change nothing.
    told = law.told(every)
    moved = np.where(told, every, 0)
    assert (law.network(moved, np) == networks).all() and not told.all()


def test_pairs_are_drawn_one_after_the_other_by_weight():
    law, gates = laws.of(PAIRS), gates_of(PAIRS)
    assert law.sizes == (3, 2, 2, 2, 2, 2)
    # Of the last node's three edges, `none` left out.
    a, b, c = np.asarray(gates["normal"])[2:, 1:].sum(1)
    total = a + b + c
    both = lambda x, y: x / total * y / (total - x) + y / total * x / (total - y)
    wanted = [both(a, b), both(a, c), both(b, c)]
    np.testing.assert_allclose(law.rows(gates)[0], wanted, rtol=1e-5)


@BOTH
def test_sharp_gates_mean_what_is_selected(entry):
    law, search = laws.of(entry), entry.searched
    if search is None:
        select_by = lambda gates: entry.select(entry.space, gates)
    else:
        select_by = lambda gates: discretise.strongest_path(search, gates, registry.WIDTHS)
    network = codes.of_genotype(entry.space, select_by(gates_of(entry)))
    hot = {name: jnp.asarray(gate) for name, gate in law.gates(network).items()}
    assert (codes.of_genotype(entry.space, select_by(hot)) == network).all()
    likeliest = np.array([[int(np.argmax(row)) for row in law.rows(hot)]])
    assert (law.network(likeliest, np)[0] == network).all()


def all_networks(entry):
    law = laws.of(entry)
    return np.unique(law.network(everything(law), np), axis=0)


def fitted(entry):
    networks, random = all_networks(entry), np.random.default_rng(0)
    ms = 1 + random.random(len(networks)) * (1 + (networks == 1).sum(1))
    return fit.fit(entry.space, networks, ms)


def summed_up(entry):
    """A model of costs that add up over cells."""
    random = np.random.default_rng(1).random((5, 3))
    return Predictor(SMALL, "", 1, 0.0, 1.0, np.zeros(1), 0.5, costs=random)


@pytest.mark.parametrize(
    ("entry", "make", "near"),
    [(PAIRS, fitted, 5e-3), (PAIRS, summed_up, 1e-5), (SMALL_GRID, fitted, 1e-5)],
    ids=["cells", "sums over cells", "paths"],
)
def test_expected_latency_is_the_mean_over_the_law_and_so_is_its_gradient(entry, make, near):
    law, model, gates = laws.of(entry), make(entry), gates_of(entry)
    networks = all_networks(entry)
    sampled = model.costs is None
    take = expected.sampled(model, 4000, law=law) if sampled else expected.expected(model, law)

    def exact(gates):
        every, logs = chances(law, gates)
        return jnp.exp(logs) @ jnp.asarray(model.predict(law.network(every, np))[0])

    value, slope = jax.value_and_grad(take)(gates)
    assert float(value) == pytest.approx(float(exact(gates)), rel=near)
    for name, wanted in jax.grad(exact)(gates).items():
        largest = float(jnp.abs(wanted).max())
        np.testing.assert_allclose(slope[name], wanted, atol=4 * near * largest + 1e-6)
    for network in networks[:: len(networks) // 5]:
        hot = {name: jnp.asarray(gate) for name, gate in law.gates(network).items()}
        of_one = expected.expected(model, law)(hot)
        assert float(of_one) == pytest.approx(float(model.predict(network[None])[0][0]), rel=1e-5)
    ms = model.predict(networks)[0]
    assert cost.ends(entry, model) == pytest.approx((ms.min(), ms.max()), rel=1e-6)


def test_what_steps_do_not_connect_is_no_path():
    broken = ("sep_conv_3x3:1-2", "sep_conv_3x3:1-4")
    edges = tuple((n, n + 1, op) for n, op in enumerate(broken))
    with pytest.raises(GenotypeError, match="which has another width"):
        codes.of_genotype(GRID.space, Genotype("hypercuboid", {"grid": Cell(edges, 1, (2,))}))


@BOTH
def test_the_pool_knows_how_likely_each_network_is(entry):
    law, gates = laws.of(entry), gates_of(entry)
    every, logs = chances(law, gates)
    wanted = {}
    for network, p in zip(map(tuple, law.network(every, np)), np.exp(logs), strict=True):
        wanted[network] = wanted.get(network, 0.0) + float(p)
    found = pool.pool(entry, gates)
    assert len(found.networks) == len(wanted)
    for network, log in zip(map(tuple, found.networks), found.log_probability, strict=True):
        assert np.exp(log) == pytest.approx(wanted[network], rel=1e-4)


@pytest.mark.parametrize(("name", "cells"), [("darts-s1", 3), ("hypercuboid", 2)])
def test_counts_of_a_few_networks_tell_those_of_all(name, cells):
    entry = registry.measured(name, cells if name == "hypercuboid" else None)
    size = programs.NetworkSize(4, cells, 10, (8, 8, 1))
    table = counts.counted(entry, size)
    for network in np.random.default_rng(1).permutation(laws.some(entry, seed=5))[:5]:
        exact = counts.exact(entry, codes.to_genotype(entry, network), size, whole=True)
        for quantity in counts.QUANTITIES:
            assert table[quantity].of(network[None])[0] == pytest.approx(exact[quantity], abs=0.1)


def test_cells_of_darts_are_held_to_macs_and_a_target_out_of_range_is_refused():
    entry, size = registry.entry("darts-s1"), programs.NetworkSize(4, 3, 10, (8, 8, 1))
    aim = cost.of_counts(entry, size, "macs", 1e5)
    some = pool.pool(entry, gates_of(entry))
    assert len(some.networks) > 5000
    score = lambda gates: (gates["normal"].sum((1, 2)) / 8, np.zeros(len(gates["normal"])))
    finished = StageResult(None, gates_of(entry), score, None, None)
    verdict = constrained_selection.settle(entry, [aim], some, finished)
    said = verdict.record["targets"]["macs"]
    assert said["holds"] and 0.95e5 <= said["predicted"] <= 1e5
    # Judged with its own eight edges open.
    assert verdict.record["accuracy"] == 1.0
    assert len(verdict.genotype.cells["normal"].edges) == 8
    exact = counts.exact(entry, verdict.genotype, size)["macs"]
    assert exact == pytest.approx(said["predicted"], abs=0.1)
    with pytest.raises(dataset.TargetError, match="the cheapest network takes more"):
        cost.of_counts(entry, size, "macs", 1.0)


def test_a_law_takes_gates_of_its_space_alone():
    law = darts_distribution.pairs(SMALL)
    with pytest.raises(ValueError, match="was fitted for another space"):
        law.rows({"normal": jnp.ones((4, 3))})
