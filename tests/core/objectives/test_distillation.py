"""What must hold of self-distillation whatever the constants are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.core.objectives import distillation, terms
from jaxnas.core.types import Forward
from jaxnas.methods import darts, sd_darts
from tests import toy

NET = toy.supernet()
TRAIN, VALID = toy.batches(1, 6), toy.batches(2, 6)
SETTINGS = {"every": 1, "weight": 0.5, "temperature": 2.0, "teachers": 3}


def term(net=NET, **settings):
    return distillation.self_distillation(net, relax.softmax(), **SETTINGS | settings)


def point(seed):
    """An architecture with weights."""
    k_arch, k_net = jax.random.split(jax.random.key(seed))
    return relax.softmax(0.5).init(k_arch, NET.space), NET.init(k_net, TRAIN.inputs[0])[0]


def forward(arch, weights, step=0):
    gates = relax.softmax().gates(arch, weights)
    stats = {"mean": jnp.zeros(4), "square": jnp.ones(4)}
    batch = toy.at(TRAIN, 0)
    logits, _ = NET.apply(weights, stats, gates, batch.inputs)
    return Forward(batch, logits, gates, stats, jnp.array(step), arch)


def taught(distillation, *seeds):
    """A memory that the points of these seeds went through."""
    memory = distillation.init(*point(0))
    for step, seed in enumerate(seeds):
        memory = distillation.update(memory, *point(seed), jnp.array(step))
    return memory


def probabilities(seed, temperature):
    logits = np.asarray(forward(*point(seed)).logits, np.float64) / temperature
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def divergence(p, q):
    return np.mean(np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1) / q), 0), -1))


def test_soft_votes_are_the_mean_of_the_teachers_probabilities():
    found = term().value(taught(term(), 1, 2, 3), forward(*point(4)))
    vote = np.mean([probabilities(seed, 2.0) for seed in (1, 2, 3)], 0)
    assert found == pytest.approx(0.5 * 4 * divergence(vote, probabilities(4, 2.0)), rel=1e-4)


def test_hard_votes_are_the_class_that_most_teachers_name():
    hard = term(vote="hard")
    found = hard.value(taught(hard, 1, 2, 3), forward(*point(4)))
    each = np.stack([probabilities(seed, 2.0) for seed in (1, 2, 3)])
    votes = np.eye(3)[each.argmax(-1)].sum(0)
    winner = np.eye(3)[(votes + each.mean(0) / 10).argmax(-1)]
    assert found == pytest.approx(0.5 * 4 * divergence(winner, probabilities(4, 2.0)), rel=1e-4)
    soft = term().value(taught(term(), 1, 2, 3), forward(*point(4)))
    assert abs(found - soft) > 0.01


def test_the_last_teachers_stay():
    ring = term(teachers=2, every=2)
    memory = taught(ring, 10, 11, 12, 13, 14, 15, 16)  # takes 11, 13, 15
    assert memory.count == 3
    found = ring.value(memory, forward(*point(4)))
    vote = np.mean([probabilities(seed, 2.0) for seed in (13, 15)], 0)
    assert found == pytest.approx(0.5 * 4 * divergence(vote, probabilities(4, 2.0)), rel=1e-4)


def test_only_teachers_that_are_there_vote():
    found = term().value(taught(term(), 1), forward(*point(4)))
    expected = 0.5 * 4 * divergence(probabilities(1, 2.0), probabilities(4, 2.0))
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("vote", ["soft", "hard"])
def test_identical_teachers_vote_as_a_single_one(vote, optimised):
    many, one = term(vote=vote), term(vote=vote, teachers=1, every=2)
    alone = one.update(one.init(*point(0)), *point(1), jnp.array(1))
    found = many.value(taught(many, 1, 1, 1), forward(*point(4)))
    assert found == pytest.approx(float(one.value(alone, forward(*point(4)))), rel=1e-6)
    assert found > 0.01


def test_a_teacher_like_the_student_says_nothing():
    distillation, (arch, weights) = term(), point(1)
    memory = taught(distillation, 1)
    of = lambda a, w: distillation.value(memory, forward(a, w))
    said, slopes = jax.value_and_grad(of, (0, 1))(arch, weights)
    assert abs(said) < 1e-6
    for slope in jax.tree.leaves(slopes):
        np.testing.assert_allclose(slope, 0, atol=1e-6)
    others = jax.grad(of)(*point(2))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(others)) > 1e-4


def test_no_gradient_reaches_the_teachers():
    distillation = term()
    memory = taught(distillation, 1, 2)
    of = lambda arch, weights: distillation.value(
        memory._replace(arch=arch, weights=weights), forward(*point(4))
    )
    for slope in jax.tree.leaves(jax.grad(of, (0, 1))(memory.arch, memory.weights)):
        assert not np.asarray(slope).any()


def steps(method, count, compiled=True):
    state = method.init(jax.random.key(0), TRAIN.inputs[0])
    update = toy.jit(method.update) if compiled else method.update
    for n in range(count):
        state, _ = update(state, toy.at(TRAIN, n), toy.at(VALID, n))
    return state


def by_operation(method, count):
    """The state, operation by operation: XLA rounds otherwise in another program's company."""
    state = steps(method, count, compiled=False)
    return state._replace(memory=(), key=jax.random.key_data(state.key))


def test_without_teachers_or_before_its_start_it_is_darts_to_the_last_bit():
    plain = by_operation(darts.darts(NET, steps_per_epoch=2, epochs=4), 4)
    make = lambda **settings: sd_darts.sd_darts(NET, steps_per_epoch=2, epochs=4, **settings)
    for settings in ({"warm_up": 3}, {"epochs_between_teachers": 3, "warm_up": 0}):
        jax.tree.map(np.testing.assert_array_equal, by_operation(make(**settings), 4), plain)
    live = by_operation(make(warm_up=0), 4)
    assert not np.array_equal(live.weights["head"], plain.weights["head"])


def test_a_weight_of_zero_changes_no_bit_of_the_gradient():
    distillation = term(weight=lambda step: 0.0 * step)
    memory, cross_entropy = taught(distillation, 1, 2), terms.cross_entropy()
    both = terms.total(loss=cross_entropy, lessons=distillation)

    def slope(objective, memory):
        of = lambda arch, weights: objective.value(memory, forward(arch, weights))
        return jax.grad(of, (0, 1))(*point(4))

    found = slope(both, {"loss": (), "lessons": memory})
    jax.tree.map(np.testing.assert_array_equal, found, slope(cross_entropy, ()))


def test_teachers_are_part_of_the_state():
    state = steps(sd_darts.sd_darts(NET, steps_per_epoch=2, epochs=4, warm_up=1), 4)
    memory = state.memory["inner"]["lessons"]
    assert memory.count == 2
    np.testing.assert_array_equal(memory.weights["head"][1], state.weights["head"])
    np.testing.assert_array_equal(memory.arch["normal"][1], state.arch["normal"])
    assert memory.weights["head"].shape == (3, 4, 3)


def test_both_levels_are_taught_on_demand():
    ours = {"steps_per_epoch": 2, "epochs": 4, "warm_up": 0}
    one, both = (sd_darts.sd_darts(NET, **ours, taught=t) for t in ("weights", "both"))
    assert set(one.init(jax.random.key(0), TRAIN.inputs[0]).memory) == {"inner", "outer"}
    assert set(both.init(jax.random.key(0), TRAIN.inputs[0]).memory) == {"inner"}
    assert not np.array_equal(steps(one, 4).arch["normal"], steps(both, 4).arch["normal"])


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"weight": 0.0}, "no effect"),
        ({"temperature": 0.0}, "temperature"),
        ({"teachers": 0}, "teachers >= 1"),
        ({"every": 0}, "every >= 1"),
        ({"start": -1}, "start >= 0"),
        ({"teachers": 1}, "the student itself"),
        ({"vote": "loud"}, "'soft' or 'hard'"),
    ],
)
def test_refuses_settings_that_teach_nothing(settings, cause):
    with pytest.raises(ValueError, match=cause):
        term(**settings)
