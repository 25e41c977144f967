"""Architectures judged with shared weights, and how their order is compared with the truth."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core.types import Batch
from jaxnas.evaluators import rank_correlation
from jaxnas.evaluators.nasbench201 import isomorphism
from jaxnas.spaces import genome
from jaxnas.spaces.nasbench201 import supernet as nasbench201
from tests import toy

STEPS = 3


class State(NamedTuple):
    """What an evaluation reads of a search's state."""

    weights: dict
    stats: dict


def random_gates(space, count, seed=0):
    rng = np.random.default_rng(seed)
    rows = lambda c: rng.integers(0, c.shape[1], (count, c.shape[0]))
    return {n: np.eye(c.shape[1], dtype=np.float32)[rows(c)] for n, c in space.items()}


def of_toy():
    net = toy.supernet()
    images = toy.batches(1, STEPS)
    weights, stats = net.init(jax.random.key(0), images.inputs[0])
    # Statistics that training would have left, so that `running` is not `batch`.
    stats = {"mean": stats["mean"] + 0.3, "square": stats["square"] + 0.5}
    return net, images, State(weights, stats)


def alone(net, images, state, gates, i, statistics):
    """(accuracy, loss) of one architecture, batch by batch, without anything of `ranking`."""
    figures = []
    for step in range(STEPS):
        batch = toy.at(images, step)
        one = {name: jnp.asarray(leaf[i]) for name, leaf in gates.items()}
        if statistics == "batch":
            logits, _ = net.apply(state.weights, state.stats, one, batch.inputs)
        else:
            logits = net.infer(state.weights, state.stats, one, batch.inputs)
        loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()
        figures.append((np.mean(np.argmax(logits, -1) == batch.labels), loss))
    return np.mean(np.array(figures), axis=0)


@pytest.mark.parametrize("statistics", ["batch", "running"])
@pytest.mark.parametrize("at_once", [1, 4])
def test_gives_each_architecture_what_it_has_alone(statistics, at_once):
    net, images, state = of_toy()
    gates = random_gates(net.space, 7)
    evaluate = rank_correlation.evaluator(net, toy.at, STEPS, statistics, at_once)
    accuracy, loss = evaluate(state, gates, images)
    assert accuracy.shape == loss.shape == (7,)
    assert len(set(np.round(loss, 5))) > 3
    for i in range(7):
        expected = alone(net, images, state, gates, i, statistics)
        np.testing.assert_allclose((accuracy[i], loss[i]), expected, rtol=1e-5)


def test_statistics_are_those_that_are_named():
    net, images, state = of_toy()
    gates = random_gates(net.space, 5)
    by_batch, by_running = (
        rank_correlation.evaluator(net, toy.at, STEPS, name)(state, gates, images)[1]
        for name in ("batch", "running")
    )
    assert np.abs(by_batch - by_running).max() > 0.01


def test_compiles_once_for_any_count_up_to_the_room():
    net, images, state = of_toy()
    traced = []

    def batch_of(images, step):
        traced.append(step)
        return toy.at(images, step)

    evaluate = rank_correlation.evaluator(net, batch_of, STEPS)
    for count in (1, 5, rank_correlation.LEAST):
        evaluate(state, random_gates(net.space, count), images)
    assert len(traced) == 1
    accuracy, _ = evaluate(state, random_gates(net.space, rank_correlation.LEAST + 1), images)
    assert len(traced) == 2
    assert len(accuracy) == rank_correlation.LEAST + 1


def test_evaluates_nothing_that_only_fills_the_room():
    net, images, state = of_toy()
    seen = []
    watched = net._replace(
        apply=lambda weights, stats, gates, x: (
            jax.debug.callback(lambda g: seen.append(g), gates["reduce"]),
            net.apply(weights, stats, gates, x),
        )[1]
    )
    rank_correlation.evaluator(watched, toy.at, STEPS)(state, random_gates(net.space, 3), images)
    jax.effects_barrier()
    assert len(seen) == 3 * STEPS


@pytest.fixture(scope="module")
def real():
    """A NAS-Bench-201 supernet of 4 features, 1 cell a stage, and 8x8 images."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(STEPS, 4, 8, 8, 3)).astype(np.float32)
    images = Batch(jnp.asarray(inputs), jnp.asarray(rng.integers(0, 3, (STEPS, 4)), jnp.int32))
    net = nasbench201.supernet(features=4, cells=1, classes=3)
    state = State(*toy.jit(net.init)(jax.random.key(0), images.inputs[0]))
    rows = genome.sample_distinct(isomorphism.GENOME.space, 20, seed=0)
    return net, images, state, rows


def test_judges_cells_of_nasbench201_as_the_supernet_does(real):
    net, images, state, rows = real
    gates = isomorphism.GENOME.one_hot(rows)
    accuracy, loss = rank_correlation.evaluator(net, toy.at, STEPS)(state, gates, images)
    apply = toy.jit(lambda gates, x: net.apply(state.weights, state.stats, gates, x)[0])
    for i in range(3):
        losses, right = [], []
        for step in range(STEPS):
            batch = toy.at(images, step)
            logits = apply({"cell": gates["cell"][i]}, batch.inputs)
            losses += list(optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels))
            right += list(logits.argmax(-1) == batch.labels)
        np.testing.assert_allclose(loss[i], np.mean(losses), rtol=1e-4)
        assert accuracy[i] == pytest.approx(np.mean(right), abs=1e-6)
    # Each cell is evaluated as itself: those that compute the same, and no others, agree.
    named = [isomorphism.computed(row) for row in rows]
    assert len(set(np.round(loss, 6))) == len(set(named))


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"steps": 0}, "0 batches"),
        ({"steps": 1, "at_once": 0}, "0 architectures at once"),
        ({"steps": 1, "statistics": "recalibrated"}, "'batch' or 'running'"),
    ],
)
def test_refuses_settings_that_cannot_be(settings, cause):
    with pytest.raises(ValueError, match=cause):
        rank_correlation.evaluator(toy.supernet(), toy.at, **settings)


@pytest.mark.parametrize(
    "change",
    [
        lambda g: {"normal": g["normal"]},
        lambda g: g | {"reduce": g["reduce"][:1]},
        lambda g: {name: leaf[0] for name, leaf in g.items()},
        lambda g: {name: leaf[:0] for name, leaf in g.items()},
        lambda g: g | {"more": g["reduce"]},
        lambda g: {},
    ],
)
def test_refuses_gates_of_another_space(change):
    net, images, state = of_toy()
    evaluate = rank_correlation.evaluator(net, toy.at, STEPS)
    with pytest.raises(ValueError, match=r"'normal': \[n, 3, 4\], 'reduce': \[n, 1, 2\]: stack"):
        evaluate(state, change(random_gates(net.space, 2)), images)


def test_agrees_wholly_with_itself_and_not_at_all_with_its_reverse():
    truth = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    with_itself = rank_correlation.rank_correlation(10 * truth, truth, top=(1, 3))
    assert with_itself[:2] == pytest.approx((1, 1))
    assert with_itself.regret == {1: 0, 3: 0}
    reverse = rank_correlation.rank_correlation(-truth, truth, top=(1, 3))
    assert reverse[:2] == pytest.approx((-1, -1))
    assert reverse.regret == {1: 4, 3: 2}


def test_gives_tau_and_rho_of_an_example_worked_out_by_hand():
    # Of the 6 pairs one, (3, 4), is the wrong way: tau = (5 - 1) / 6, rho = 1 - 6 * 2 / (4 * 15).
    found = rank_correlation.rank_correlation(
        np.array([1, 2, 4, 3]), np.array([10.0, 20, 30, 40]), top=(1, 2, 9)
    )
    assert found.kendall == pytest.approx(2 / 3)
    assert found.spearman == pytest.approx(0.8)
    assert found.regret == {1: 10, 2: 0}


def test_takes_equal_scores_in_the_order_given():
    found = rank_correlation.rank_correlation(
        np.array([1.0, 1, 0]), np.array([1.0, 3, 2]), top=(1, 2)
    )
    assert found.regret == {1: 2, 2: 0}


def test_has_no_correlation_where_all_scores_are_equal():
    found = rank_correlation.rank_correlation(np.zeros(4), np.arange(4.0), top=(1,))
    assert np.isnan(found.kendall)
    assert np.isnan(found.spearman)
    assert found.regret == {1: 3}


def test_random_rankings_agree_as_chance_says():
    rng = np.random.default_rng(0)
    truth, repeats, top = rng.normal(size=60) ** 3, 400, (1, 5, 60)
    found = [rank_correlation.rank_correlation(rng.random(60), truth, top) for _ in range(repeats)]
    n = len(truth)
    # The null's standard deviations: Kendall 1938, and 1 / sqrt(n - 1).
    for name, deviation in (
        ("kendall", np.sqrt(2 * (2 * n + 5) / (9 * n * (n - 1)))),
        ("spearman", 1 / np.sqrt(n - 1)),
    ):
        values = np.array([getattr(one, name) for one in found])
        assert abs(values.mean()) < 4 * deviation / np.sqrt(repeats)
        assert values.std() == pytest.approx(deviation, rel=0.15)
    expected = rank_correlation.random_regret(truth, top)
    for k in top:
        regrets = np.array([one.regret[k] for one in found])
        error = 4 * regrets.std() / np.sqrt(repeats) + 1e-9
        assert regrets.mean() == pytest.approx(expected[k], abs=error)


def test_chance_of_few_cells_is_a_mean_over_all_draws():
    # Pairs of (0, 1, 3, 7): the best is 1 once, 3 twice, 7 three times.
    truth = [3.0, 0, 7, 1]
    assert rank_correlation.random_regret(truth, (1, 2, 4, 5)) == pytest.approx(
        {1: 7 - 11 / 4, 2: 7 - (1 + 2 * 3 + 3 * 7) / 6, 4: 0}
    )


@pytest.mark.parametrize(
    ("scores", "truth", "top", "cause"),
    [
        ([1], [1], (1,), "two cells or more"),
        ([1, 2], [1, 2, 3], (1,), "not two lists of equal length"),
        ([[1, 2]], [[1, 2]], (1,), "not two lists"),
        ([1, np.nan], [1, 2], (1,), "not finite"),
        ([1, 2], [1, np.inf], (1,), "not finite"),
        ([1, 2], [1, 2], (0,), "give k of 1 or more"),
    ],
)
def test_refuses_what_has_no_order(scores, truth, top, cause):
    with pytest.raises(ValueError, match=cause):
        rank_correlation.rank_correlation(scores, truth, top)
