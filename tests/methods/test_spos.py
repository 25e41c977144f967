"""Single path with uniform sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.methods import optimisers, spos
from jaxnas.spaces import choices as spaces
from tests import drive, toy

SPACE = {"cell": spaces.uniform(spaces.dag(2, 2), ("none", "skip_connect", "tanh"))}


def make(space, execute):
    assert execute == "selected"
    return drive.dense(space)


def test_a_step_moves_only_the_weights_of_its_path():
    space = {"cell": spaces.uniform(spaces.dag(2, 2), ("sine", "tanh"))}
    search = spos.spos(
        drive.dense(space),
        epochs=1,
        steps_per_epoch=2,
        edges_per_node=1,
        optimisers=spos.OPTIMISERS._replace(weight_decay=0.0),
    )
    state = search.init(jax.random.key(0), drive.TRAIN.inputs[0])
    moved, metrics = toy.jit(search.update)(state, toy.at(drive.TRAIN, 0), toy.at(drive.VALID, 0))
    differs = lambda a, b: bool(jnp.any(a != b))
    changed = jax.tree.map(differs, state.weights["cell"], moved.weights["cell"])
    assert sum(jax.tree.leaves(changed)) == 2  # of ten layers one a node
    assert state.arch == moved.arch == {}
    assert set(metrics) == {"loss/train", "accuracy/train"}


def test_the_most_accurate_of_the_samples_is_found():
    ran = drive.run(
        spos.best_of_samples(SPACE, epochs=3, samples=7, edges_per_node=1, seed=3), make
    )
    (done,) = ran.finished
    found = ran.found.gates["cell"]
    assert found.shape == (5, 3)
    assert found.sum() == 2  # one edge a node
    assert not found[:, 0].any()
    accuracy, _ = done.evaluate({"cell": found[None]})
    asked = []
    program = spos.best_of_samples(SPACE, epochs=3, samples=7, edges_per_node=1, seed=3)
    next(program)
    spy = lambda gates: asked.append(gates) or done.evaluate(gates)
    with pytest.raises(StopIteration) as end:
        program.send(done._replace(evaluate=spy))
    assert len(asked) == 1
    assert len(asked[0]["cell"]) == 7
    accuracies, _ = done.evaluate(asked[0])
    assert accuracies.max() == accuracy[0]
    assert accuracies.min() < accuracies.max()
    np.testing.assert_array_equal(end.value.value.gates["cell"], found)


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="2 edges enter a node, of which 3"):
        spos.best_of_samples(SPACE, edges_per_node=3, seed=0)
    with pytest.raises(ValueError, match="samples >= 1"):
        spos.best_of_samples(SPACE, samples=0, seed=0)
    with pytest.raises(ValueError, match="2 edges enter a node, of which 4"):
        spos.spos(drive.dense(SPACE), steps_per_epoch=2, edges_per_node=4)
    with pytest.raises(ValueError, match="uniform or fair, not 'even'"):
        spos.best_of_samples(SPACE, sampling="even", seed=0)
    with pytest.raises(ValueError, match="A warm-up of 3 epochs leaves none of 3"):
        spos.spos(drive.dense(SPACE), epochs=3, steps_per_epoch=2, warm_up=3)


def test_the_learning_rate_rises_and_falls():
    settings = spos.OPTIMISERS._replace(learning_rate=0.1, min_learning_rate=0.0)
    rate = optimisers.warmed_up(settings, 10, 4, 2)
    assert float(rate(0)) == 0
    assert [float(rate(step)) for step in (4, 8, 24, 40)] == pytest.approx([0.05, 0.1, 0.05, 0])
    plain = optimisers.warmed_up(settings, 10, 4, 0)
    assert [float(plain(step)) for step in (0, 3, 20)] == pytest.approx([0.1, 0.1, 0.05])


def test_fair_paths_train_every_candidate_alike():
    space = {"cell": spaces.uniform(spaces.dag(1, 1), ("sine", "tanh", "identity"))}
    search = spos.spos(
        drive.dense(space), epochs=1, steps_per_epoch=3, sampling="fair",
        optimisers=spos.OPTIMISERS._replace(weight_decay=0.0),
    )  # fmt: skip
    state = search.init(jax.random.key(0), drive.TRAIN.inputs[0])
    start, update = state, toy.jit(search.update)
    for step in range(3):
        state, _ = update(state, toy.at(drive.TRAIN, step), toy.at(drive.VALID, step))
    moved = jax.tree.map(
        lambda a, b: bool(jnp.any(a != b)), start.weights["cell"], state.weights["cell"]
    )
    assert all(jax.tree.leaves(moved))
    assert state.arch == start.arch
