"""Random search: every cell trained alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.methods import random_search
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import discretise
from tests import drive, toy

KEY = jax.random.key(0)
SPACE = {
    "normal": spaces.uniform(spaces.dag(2, 2), ("skip_connect", "tanh", "wide")),
    "reduce": spaces.uniform(spaces.dag(2, 1), ("skip_connect", "tanh")),
}


def test_random_search_trains_every_cell_alone_and_keeps_the_best():
    program = random_search.random_search(SPACE, epochs=6, cells=3, edges_per_node=1, seed=4)
    ran = drive.run(program, make=lambda space, execute: drive.dense(space))
    assert [stage.epochs for stage in ran.stages] == [2, 2, 2]
    assert ran.traces == 1
    cells = [began.arch for began in ran.began]
    assert len({str(cell) for cell in cells}) == 3
    for began, done in zip(ran.began, ran.finished, strict=True):
        assert all(np.array_equal(done.gates[name], began.arch[name]) for name in SPACE)
        assert not np.array_equal(done.state.weights["head"], began.weights["head"])
    accuracy = [done.evaluate(jax.tree.map(lambda g: g[None], done.gates)) for done in ran.finished]
    best = min(range(3), key=lambda n: (-accuracy[n][0][0], accuracy[n][1][0]))
    assert all(np.array_equal(ran.found.gates[name], cells[best][name]) for name in SPACE)
    genotype = discretise.top_edges_per_node(ran.found.space, ran.found.gates, keep=1, name="darts")
    assert all(len(cell.edges) == len(cell.concat) for cell in genotype.cells.values())


def test_random_search_asks_the_same_again():
    asked = lambda seed: next(random_search.random_search(SPACE, epochs=2, cells=2, seed=seed))
    search = asked(1).method(drive.dense(SPACE), epochs=1, steps_per_epoch=1)
    state = search.init(KEY, drive.TRAIN.inputs[0])
    cells = [asked(seed).begin(state).arch["normal"].tolist() for seed in (1, 1, 2, 3)]
    assert cells[0] == cells[1]
    assert cells[0] != cells[2] or cells[0] != cells[3]


def test_random_search_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="7 epochs do not divide among 2 cells"):
        random_search.random_search(SPACE, epochs=7, cells=2, seed=0)
    tiny = {"cell": spaces.uniform(((0, 1),), ("skip_connect", "tanh"))}
    with pytest.raises(ValueError, match="2 different cells were drawn: ask for fewer than 3"):
        random_search.random_search(tiny, epochs=3, cells=3, seed=0)


def test_a_net_of_all_one_hot_gates_ignores_the_other_candidates():
    """What random search trains is the cell's own network: the others' weights have no gradient."""
    net = toy.supernet()
    weights, stats = net.init(KEY, drive.TRAIN.inputs[0])
    one_hot = lambda choice: jnp.eye(choice.shape[1])[jnp.ones(choice.shape[0], int)]
    gates = {name: one_hot(choice) for name, choice in net.space.items()}
    loss = lambda w: jnp.sum(net.apply(w, stats, gates, drive.TRAIN.inputs[0])[0] ** 2)
    slope = jax.grad(loss)(weights)
    assert not slope["normal"]["tanh"].any()
    assert slope["reduce"]["tanh"].any()
