"""Evaluation with shared weights: many gates in one program, each as it is alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core.types import Batch
from jaxnas.evaluators import supernet
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
    evaluate = supernet.evaluator(net, toy.at, STEPS, statistics, at_once)
    accuracy, loss = evaluate(state, gates, images)
    assert accuracy.shape == loss.shape == (7,)
    assert len(set(np.round(loss, 5))) > 3
    for i in range(7):
        expected = alone(net, images, state, gates, i, statistics)
        np.testing.assert_allclose((accuracy[i], loss[i]), expected, rtol=1e-5)


def test_fewer_batches_are_the_first_ones():
    net, images, state = of_toy()
    gates = random_gates(net.space, 5)
    evaluate = supernet.evaluator(net, toy.at, STEPS)
    first = supernet.evaluator(net, toy.at, 1)(state, gates, images)
    np.testing.assert_array_equal(evaluate(state, gates, images, 1), first)
    whole = evaluate(state, gates, images)
    np.testing.assert_array_equal(evaluate(state, gates, images, STEPS), whole)
    assert (whole[1] != first[1]).any()
    for batches in (0, STEPS + 1):
        with pytest.raises(ValueError, match=f"{batches} batches cannot judge"):
            evaluate(state, gates, images, batches)


def test_a_scoring_counts_its_batches():
    steps = lambda images, size: supernet.scoring_steps(supernet.Scoring(images, size), 100, 20)
    assert [steps(*pair) for pair in ((None, None), (40, None), (45, 10), (None, 50))] == [
        5, 2, 4, 2
    ]  # fmt: skip
    with pytest.raises(ValueError, match="101 images cannot judge: the validation half has 100"):
        steps(101, None)
    with pytest.raises(ValueError, match="batch_size is 20"):
        steps(10, None)


def test_statistics_are_those_that_are_named():
    net, images, state = of_toy()
    gates = random_gates(net.space, 5)
    by_batch, by_running = (
        supernet.evaluator(net, toy.at, STEPS, name)(state, gates, images)[1]
        for name in ("batch", "running")
    )
    assert np.abs(by_batch - by_running).max() > 0.01


def test_compiles_once_for_any_count_up_to_the_room():
    net, images, state = of_toy()
    traced = []

    def batch_of(images, step):
        traced.append(step)
        return toy.at(images, step)

    evaluate = supernet.evaluator(net, batch_of, STEPS)
    for count in (1, 5, supernet.MIN_ROWS):
        evaluate(state, random_gates(net.space, count), images)
    assert len(traced) == 1
    accuracy, _ = evaluate(state, random_gates(net.space, supernet.MIN_ROWS + 1), images)
    assert len(traced) == 2
    assert len(accuracy) == supernet.MIN_ROWS + 1


def test_evaluates_nothing_that_only_fills_the_room():
    net, images, state = of_toy()
    seen = []
    watched = net._replace(
        apply=lambda weights, stats, gates, x: (
            jax.debug.callback(lambda g: seen.append(g), gates["reduce"]),
            net.apply(weights, stats, gates, x),
        )[1]
    )
    supernet.evaluator(watched, toy.at, STEPS)(state, random_gates(net.space, 3), images)
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
    accuracy, loss = supernet.evaluator(net, toy.at, STEPS)(state, gates, images)
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
        supernet.evaluator(toy.supernet(), toy.at, **settings)


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
    evaluate = supernet.evaluator(net, toy.at, STEPS)
    with pytest.raises(ValueError, match=r"'normal': \[n, 3, 4\], 'reduce': \[n, 1, 2\]: stack"):
        evaluate(state, change(random_gates(net.space, 2)), images)
