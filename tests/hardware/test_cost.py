"""Cost models and limits: what networks cost, what gates are expected to, and what is refused."""

import numpy as np
import pytest

from jaxnas.core.types import Choice
from jaxnas.evaluators.nasbench201 import cost as published
from jaxnas.hardware import cost, counts
from jaxnas.hardware.predict import fit
from jaxnas.hardware.predict.predictor import margin
from jaxnas.spaces import distribution, genome, registry, search_space
from jaxnas.spaces import sampling as pools
from jaxnas.spaces.genotype import Cell, Genotype
from tests.campaign_toys import ALL_CELLS, SPACE, counted, gates_of, in_ms, true_ms


def test_counts_are_those_of_the_benchmark():
    size = search_space.NetworkSize(16, 5, 10, (32, 32, 3))
    table = counts.additive_counts(SPACE, size)
    some = ALL_CELLS[::311]
    assert (table["macs"].total(some) == published.macs(some, 10, 32)).all()
    assert (table["parameters"].total(some) == published.parameters(some, 10)).all()


def test_macs_to_expect_are_the_mean_over_all_deployed_networks():
    size = search_space.NetworkSize(4, 1, 10, (8, 8, 1))
    model = counted(size, "macs", 60_000).cost
    gates = gates_of()
    shares = np.prod([gates["cell"][p][ALL_CELLS[:, p]] for p in range(6)], 0)
    mean = float(shares @ model.of_genomes(SPACE.genome.canonical(ALL_CELLS)))
    assert float(model.of_gates(gates)) == pytest.approx(mean, rel=1e-5)
    one = SPACE.genome.encode(SPACE.genome.decode(ALL_CELLS[6111]))
    assert (one == ALL_CELLS[6111]).all()
    exact = counts.exact(SPACE, SPACE.genome.decode(one), size)["macs"]
    hot = genome.one_hot(SPACE.choices, one)
    assert float(model.of_gates(hot)) == pytest.approx(exact, rel=1e-6)


def test_milliseconds_of_a_pruned_network_are_those_of_the_graph(model):
    held = ALL_CELLS[::37]
    predicted = model.predict(SPACE.genome.canonical(held))[0]
    assert np.mean(np.abs(predicted / true_ms(held) - 1) < 0.1) > 0.9


def test_a_risk_puts_the_interval_below(model):
    plain, careful = (in_ms(model, 0.15, risk) for risk in (0.0, 1.0))
    assert plain.aim == plain.limit == 0.15
    assert careful.aim * (1 + margin(model)) == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("ms", "cause"),
    [(0.001, "cheapest network takes more"), (9.0, "every network takes less"), (-1.0, "above 0")],
)
def test_a_target_out_of_range_is_refused_with_the_range(model, ms, cause):
    with pytest.raises(cost.ConstraintError, match=cause):
        in_ms(model, ms)


def test_a_space_that_drops_edges_is_refused(model):
    with pytest.raises(cost.ConstraintError, match="another space"):
        cost.predicted(registry.get("mobile-fbnet"), model)


CHAIN = {"layers": Choice(tuple((i, i + 1) for i in range(4)), (("k3_e3", "k5_e6", "k3_e6"),) * 4)}


def chain_space():
    def discretise(space, gates):
        best = np.argmax(gates["layers"], -1)
        ops = zip(CHAIN["layers"].edges, CHAIN["layers"].candidates, best, strict=True)
        edges = tuple((s, t, names[int(o)]) for (s, t), names, o in ops)
        return Genotype("chain", {"layers": Cell(edges, 1, (4,))})

    return SPACE._replace(
        choices=CHAIN,
        genome=genome.of_space(CHAIN, discretise),
        distribution=distribution.factorised(CHAIN),
        edges_per_node=None,
    )


def test_the_bounds_of_a_chain_are_those_of_all_its_networks():
    all_networks = np.indices((3,) * 4).reshape(4, -1).T
    random = np.random.default_rng(0)
    layers, pairs = random.random((4, 3)) + 0.5, 0.3 * random.random((3, 3))
    ms = 1 + layers[np.arange(4), all_networks].sum(1) + sum(
        pairs[all_networks[:, i], all_networks[:, i + 1]] for i in range(3)
    )  # fmt: skip
    predictor = fit.fit(CHAIN, all_networks, ms)
    low, high = cost.bounds(chain_space(), predictor)
    predicted = predictor.predict(all_networks)[0]
    assert low == pytest.approx(predicted.min(), rel=1e-4)
    assert high == pytest.approx(predicted.max(), rel=1e-4)


def test_networks_of_a_large_space_are_drawn_and_gates_decide_which_are_likely():
    gates = {"layers": np.array([[0.8, 0.1, 0.1]] * 4)}
    pool = pools.sample_pool(chain_space(), gates)
    assert len(pool.genomes) == 81
    best = pool.genomes[np.argmax(pool.log_probability)]
    assert (best == 0).all()
    assert np.exp(pool.log_probability).sum() == pytest.approx(1.0)
