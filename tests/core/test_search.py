"""What one step of a search does, against the step written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas.core import hypergrad, schedules, search
from jaxnas.core.gates import relax
from jaxnas.core.objectives import terms
from jaxnas.core.types import Term
from jaxnas.methods import darts, entry, single_level
from jaxnas.methods.optimisers import Optimisers
from tests import toy

NET = toy.supernet()
TRAIN, VALID = toy.batches(1, 8), toy.batches(2, 8)
STATS = {"mean": 0.0, "square": 1.0}  # a pass does not depend on them


def loss(arch, weights, batch):
    """The loss of the toy supernet, apart from the engine."""
    gates = {name: jax.nn.softmax(logits) for name, logits in arch.items()}
    logits, _ = NET.apply(weights, STATS, gates, batch.inputs)
    picked = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.labels[:, None], 1)
    return -picked.mean()


slope = toy.jit(jax.grad(loss, (0, 1)))


def arch_slope(*place):
    return slope(*place)[0]


def weight_slope(*place):
    return slope(*place)[1]


def sgd_search(**settings):
    """Steps of plain descent, so that a step is the gradient that made it."""
    txs = search.Transforms(optax.sgd(1.0), optax.sgd(0.5))
    txs = txs._replace(**{k: settings.pop(k) for k in txs._fields if k in settings})
    return search.bilevel(NET, relax.softmax(), terms.cross_entropy(), txs, **settings)


def start(method, seed=0):
    return method.init(jax.random.key(seed), TRAIN.inputs[0])


def step(method, state, n=0):
    return toy.jit(method.update)(state, toy.at(TRAIN, n), toy.at(VALID, n))


def assert_close(found, expected, **tolerance):
    tolerance = {"rtol": 1e-4, "atol": 1e-6} | tolerance
    jax.tree.map(lambda f, e: np.testing.assert_allclose(f, e, **tolerance), found, expected)


def differ(a, b):
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return any(not np.array_equal(x, y) for x, y in leaves)


def test_arch_moves_before_the_weights_by_default():
    method = sgd_search()
    state = start(method)
    after, _ = step(method, state)
    arch_grad = arch_slope(state.arch, state.weights, toy.at(VALID, 0))
    arch = optax.tree.sub(state.arch, arch_grad)
    weight_grad = weight_slope(arch, state.weights, toy.at(TRAIN, 0))
    assert_close(after.arch, arch)
    assert_close(after.weights, optax.tree.add_scale(state.weights, -0.5, weight_grad))


def test_weights_move_before_the_arch_on_demand():
    method = sgd_search(hypergrad=hypergrad.after_weights(hypergrad.first_order()))
    state = start(method)
    after, _ = step(method, state)
    weight_grad = weight_slope(state.arch, state.weights, toy.at(TRAIN, 0))
    weights = optax.tree.add_scale(state.weights, -0.5, weight_grad)
    arch_grad = arch_slope(state.arch, weights, toy.at(VALID, 0))
    assert_close(after.weights, weights)
    assert_close(after.arch, optax.tree.sub(state.arch, arch_grad))
    assert differ(after.arch, step(sgd_search(), state)[0].arch)


def test_clips_the_weight_step_and_not_the_look_ahead():
    limit = 0.01  # far below the gradient's norm
    method = sgd_search(
        clip_tx=optax.clip_by_global_norm(limit),
        weight_tx=optax.sgd(0.5, momentum=0.9),
        hypergrad=hypergrad.unrolled(),
    )
    state, _ = step(method, start(method))  # so that momentum is moving
    moving = optax.tree.get(state.weight_opt, "trace")
    train, valid = toy.at(TRAIN, 1), toy.at(VALID, 1)

    def expected_arch(clip):
        def composed(arch):
            grads = jax.grad(loss, 1)(arch, state.weights, train)
            if clip:
                grads, _ = optax.clip_by_global_norm(limit).update(grads, optax.EmptyState())
            ahead = jax.tree.map(
                lambda w, b, g: w - 0.5 * (0.9 * b + g), state.weights, moving, grads
            )
            return loss(arch, ahead, valid)

        return optax.tree.sub(state.arch, toy.jit(jax.grad(composed))(state.arch))

    after, _ = step(method, state, 1)
    assert_close(after.arch, expected_arch(clip=False))
    with pytest.raises(AssertionError):
        assert_close(after.arch, expected_arch(clip=True))

    grads = weight_slope(after.arch, state.weights, train)
    norm = float(optax.tree.norm(grads))
    assert norm > 10 * limit
    clipped = optax.tree.scale(limit / norm, grads)
    weights = jax.tree.map(lambda w, b, g: w - 0.5 * (0.9 * b + g), state.weights, moving, clipped)
    assert_close(after.weights, weights)


def test_outer_objective_judges_validation_batches_alone():
    doubled = terms.weighted(terms.cross_entropy(), lambda step: 2.0)
    plain, method = sgd_search(), sgd_search(outer_objective=doubled)
    state = start(method)
    after, metrics = step(method, state)
    plain_after, plain_metrics = step(plain, start(plain))
    moved = lambda a: optax.tree.sub(a.arch, state.arch)
    assert_close(moved(after), optax.tree.scale(2.0, moved(plain_after)))
    expected = 2 * float(plain_metrics["loss/valid"])
    assert metrics["loss/valid"] == pytest.approx(expected, rel=1e-6)
    expected = loss(after.arch, state.weights, toy.at(TRAIN, 0))
    assert metrics["loss/train"] == pytest.approx(float(expected), rel=1e-5)


def test_running_statistics_are_moved_by_the_weight_step_alone():
    method = sgd_search(hypergrad=hypergrad.unrolled())
    state = start(method)
    after, _ = step(method, state)
    inputs = TRAIN.inputs[0].reshape(16, -1) @ state.weights["stem"]
    expected = {
        "mean": 0.9 * state.stats["mean"] + 0.1 * inputs.mean(0),
        "square": 0.9 * state.stats["square"] + 0.1 * (inputs**2).mean(0),
    }
    assert_close(after.stats, expected)


def test_terms_with_a_memory_remember_from_step_to_step():
    def value(memory, forward):
        return terms.cross_entropy().value((), forward) + 0.0 * memory

    counter = Term(
        init=lambda arch, weights: jnp.zeros(()),
        value=value,
        update=lambda memory, arch, weights, step: memory + 10.0 + step,
    )
    txs = search.Transforms(optax.sgd(0.1), optax.sgd(0.1))
    method = search.bilevel(NET, relax.softmax(), counter, txs)
    state = start(method)
    for n in range(3):
        state, _ = step(method, state, n)
    assert jax.tree.leaves(state.memory) == [33.0]
    assert state.step == 3


def test_metrics_are_those_the_docstring_names():
    for build, method in [
        (search.bilevel, sgd_search(hypergrad=hypergrad.every(2, hypergrad.first_order()))),
        (search.single_level, single_level.single_level(NET, steps_per_epoch=2)),
    ]:
        _, metrics = step(method, start(method))
        named = {word for word in build.__doc__.split("`") if "/" in word and " " not in word}
        assert set(metrics) == {name for name in named if not name.startswith("quark0")}
        assert all(value.shape == () and value.dtype == np.float32 for value in metrics.values())


def test_metrics_are_measured_where_the_gradients_are():
    method = sgd_search()
    state = start(method)
    after, metrics = step(method, state)
    for split, batch, arch in [
        ("valid", toy.at(VALID, 0), state.arch),
        ("train", toy.at(TRAIN, 0), after.arch),
    ]:
        gates = relax.softmax().gates(arch, ())
        logits, _ = NET.apply(state.weights, state.stats, gates, batch.inputs)
        assert metrics[f"accuracy/{split}"] == np.mean(np.argmax(logits, -1) == batch.labels)
        expected = float(loss(arch, state.weights, batch))
        assert metrics[f"loss/{split}"] == pytest.approx(expected, rel=1e-5)


# While the architecture rests.


def test_a_resting_architecture_costs_nothing_and_stays_as_it_is():
    judged = []

    def value(forward):
        jax.debug.callback(lambda step: judged.append(int(step)), forward.step)
        return terms.cross_entropy().value((), forward)

    method = sgd_search(
        outer_objective=terms.stateless(value),
        arch_tx=optax.adam(0.1),
        hypergrad=hypergrad.after(3, hypergrad.every(2, hypergrad.unrolled())),
    )
    update = toy.jit(method.update)
    state = start(method)
    for n in range(8):
        after, metrics = update(state, toy.at(TRAIN, n), toy.at(VALID, n))
        active = n in (4, 6)
        assert metrics["arch/active"] == active
        assert differ((after.arch, after.arch_opt), (state.arch, state.arch_opt)) == active
        assert (metrics["loss/valid"] != 0) == active
        assert differ(after.weights, state.weights)
        state = after
    jax.effects_barrier()
    assert sorted(set(judged)) == [4, 6]
    assert optax.tree.get(state.arch_opt, "count") == 2


# DARTS: its optimisers and schedules.


def test_adam_on_the_arch_adds_the_decay_to_the_gradient():
    decay, rate = 0.3, 0.01
    method = darts.darts(
        NET,
        steps_per_epoch=2,
        optimisers=Optimisers(arch_learning_rate=rate, arch_weight_decay=decay),
    )
    update = toy.jit(method.update)
    state = start(method)
    arch = jax.tree.map(np.float64, state.arch)
    first = second = jax.tree.map(np.zeros_like, arch)
    for n in range(4):
        grads = arch_slope(state.arch, state.weights, toy.at(VALID, n))
        grads = jax.tree.map(lambda g, a: g + decay * a, grads, arch)
        first = jax.tree.map(lambda m, g: 0.5 * m + 0.5 * g, first, grads)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, grads)
        arch = jax.tree.map(
            lambda a, m, v, n=n: a
            - rate * m / (1 - 0.5 ** (n + 1)) / (np.sqrt(v / (1 - 0.999 ** (n + 1))) + 1e-8),
            arch, first, second,
        )  # fmt: skip
        state, _ = update(state, toy.at(TRAIN, n), toy.at(VALID, n))
    assert_close(state.arch, arch, rtol=1e-3, atol=2e-6)


def test_weight_step_of_darts_clips_at_five_then_decays_then_moves():
    method = darts.darts(NET, steps_per_epoch=2, optimisers=Optimisers(weight_decay=0.2))
    state = start(method)
    state = state._replace(weights=optax.tree.scale(30.0, state.weights))  # a steep place
    after, _ = step(method, state)
    grads = weight_slope(after.arch, state.weights, toy.at(TRAIN, 0))
    norm = float(optax.tree.norm(grads))
    assert norm > 6
    moved = jax.tree.map(lambda w, g: w - 0.025 * (5 / norm * g + 0.2 * w), state.weights, grads)
    assert_close(after.weights, moved, atol=1e-4)


GOLDEN = {0: 0.025, 1: 0.024976321, 2: 0.024905376, 10: 0.022708204, 25: 0.013, 49: 0.001023679}


@pytest.mark.parametrize(("epoch", "expected"), GOLDEN.items())
def test_learning_rate_follows_the_cosine_of_the_epoch(epoch, expected):
    rate = schedules.cosine_by_epoch(0.025, 0.001, epochs=50, steps_per_epoch=391)
    for n in (391 * epoch, 391 * epoch + 390):
        assert rate(jnp.array(n)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("make", [darts.darts, single_level.single_level])
def test_methods_move_their_weights_by_the_rate_of_the_epoch(make):
    still = Optimisers(weight_decay=0.0, arch_learning_rate=0.0)
    method = make(NET, steps_per_epoch=3, epochs=50, optimisers=still)
    update = toy.jit(method.update)

    def moved(epoch):
        state = start(method)
        opt = jax.tree.map(
            lambda x: jnp.full_like(x, 3 * epoch + 2) if x.dtype == jnp.int32 else x,
            state.weight_opt,
        )
        after, _ = update(state._replace(weight_opt=opt), toy.at(TRAIN, 0), toy.at(VALID, 0))
        return after.weights["head"] - state.weights["head"]

    np.testing.assert_allclose(moved(25), moved(0) * 0.013 / 0.025, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("make", [darts.darts, single_level.single_level])
@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": 0.0},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"min_learning_rate": -0.1},
        {"min_learning_rate": 1.0},
        {"epochs": 0},
        {"steps_per_epoch": 0},
    ],
)
def test_methods_refuse_impossible_schedules(make, settings):
    with pytest.raises(ValueError, match="learning rate|epoch"):
        make(NET, **entry.nest(make, {"steps_per_epoch": 2} | settings))


# Single level.


def test_single_level_takes_both_gradients_at_the_same_place():
    method = search.single_level(NET, relax.softmax(), terms.cross_entropy(), tx=optax.sgd(0.5))
    state = start(method)
    after, metrics = step(method, state)
    train = toy.at(TRAIN, 0)
    value, (arch, weights) = jax.value_and_grad(loss, (0, 1))(state.arch, state.weights, train)
    assert_close(after.arch, optax.tree.add_scale(state.arch, -0.5, arch))
    assert_close(after.weights, optax.tree.add_scale(state.weights, -0.5, weights))
    assert metrics["loss/train"] == pytest.approx(float(value), rel=1e-5)
    assert differ(after.stats, state.stats)


def test_single_level_of_the_methods_gives_each_tree_its_own_optimiser():
    method = single_level.single_level(
        NET, steps_per_epoch=2, optimisers=Optimisers(arch_learning_rate=0.01)
    )
    state = start(method)
    after, _ = step(method, state)
    grads = arch_slope(state.arch, state.weights, toy.at(TRAIN, 0))
    # The first step of Adam is its rate times the sign of the decayed gradient.
    decayed = jax.tree.map(lambda g, a: g + 1e-3 * a, grads, state.arch)
    expected = jax.tree.map(lambda a, g: a - 0.01 * g / (abs(g) + 1e-8), state.arch, decayed)
    assert_close(after.arch, expected, rtol=1e-3, atol=1e-5)
    steep = weight_slope(state.arch, state.weights, toy.at(TRAIN, 0))
    assert float(optax.tree.norm(steep)) < 5  # clipping is idle
    moved = jax.tree.map(lambda w, g: w - 0.025 * (g + 3e-4 * w), state.weights, steep)
    assert_close(after.weights, moved)


def test_gates_of_a_search_are_those_of_its_relaxation():
    method = sgd_search()
    state = start(method)
    assert_close(method.gates(state), jax.tree.map(jax.nn.softmax, dict(state.arch)))
