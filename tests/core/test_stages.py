"""What closes candidates, and the programs that are more than one search."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import masking, relax
from jaxnas.core.stages import Selection, Stage, StageResult, one_stage
from jaxnas.core.types import Choice
from jaxnas.methods import darts, random_search
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import discretise
from tests import drive, toy

KEY = jax.random.key(0)
SPACE = {
    "normal": spaces.uniform(spaces.dag(2, 2), ("skip_connect", "tanh", "wide")),
    "reduce": spaces.uniform(spaces.dag(2, 1), ("skip_connect", "tanh")),
}
LOGITS = relax.softmax(scale=1.0).init(KEY, SPACE)


def gates_of(relaxation, arch, **at):
    return relaxation.gates(arch, None, **({"key": KEY, "step": 0} | at))


def test_a_masked_softmax_is_the_softmax_of_what_is_open():
    relaxation = masking.masked(relax.softmax())
    arch = relaxation.init(KEY, SPACE) | {"free": LOGITS}
    whole = gates_of(relaxation, arch)["normal"]
    np.testing.assert_allclose(whole, jax.nn.softmax(LOGITS["normal"]), rtol=1e-6)
    arch["mask"]["normal"] = arch["mask"]["normal"].at[0].set(jnp.array([0.0, 1.0, 1.0]))
    gates = gates_of(relaxation, arch)
    expected = np.append(0, jax.nn.softmax(LOGITS["normal"][0, 1:]))
    np.testing.assert_allclose(gates["normal"][0], expected, rtol=1e-6)
    np.testing.assert_array_equal(gates["normal"][1:], whole[1:])

    loss = lambda free: (gates_of(relaxation, arch | {"free": free})["normal"][0] ** 2).sum()
    slope = jax.grad(loss)(LOGITS)["normal"]
    assert jnp.abs(slope[0, 0]) < 1e-6
    assert jnp.abs(slope[0, 1]) > 1e-3


def test_a_mask_keeps_what_an_edge_brings_and_shares_what_was_lost():
    relaxation = masking.masked(masking.identity())
    arch = relaxation.init(KEY, SPACE)
    arch["free"]["reduce"] = jnp.array([[0.3, 0.1], [0.0, 0.7]])
    arch["mask"]["reduce"] = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    gates = gates_of(relaxation, arch)["reduce"]
    np.testing.assert_allclose(gates, [[0.0, 0.4], [0.7, 0.0]], rtol=1e-6)
    slopes = jax.jacobian(lambda arch: gates_of(relaxation, arch)["reduce"])(arch)["free"]
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_decided_edges_stand_still_and_the_others_follow_their_logits():
    relaxation = masking.with_fixed_edges(relax.softmax())
    arch = relaxation.init(KEY, SPACE) | {"free": LOGITS}
    assert jnp.array_equal(gates_of(relaxation, arch)["normal"], jax.nn.softmax(LOGITS["normal"]))
    arch = masking.fix_edge(arch, "normal", 1, np.array([0.0, 1.0, 0.0]))
    arch = masking.fix_edge(arch, "normal", 3, np.zeros(3))
    gates = gates_of(relaxation, arch)
    assert gates["normal"][1].tolist() == [0, 1, 0]
    assert gates["normal"][3].tolist() == [0, 0, 0]
    assert jnp.array_equal(gates["normal"][0], jax.nn.softmax(LOGITS["normal"][0]))
    slope = jax.grad(lambda a: sum(jnp.sum(g**2) for g in gates_of(relaxation, a).values()))(arch)
    assert not slope["free"]["normal"][jnp.array([1, 3])].any()
    assert slope["free"]["normal"][0].any()


def test_expected_gates_are_restricted_as_those_of_a_step_are():
    relaxation = masking.with_fixed_edges(relax.dirichlet())
    arch = masking.fix_edge(relaxation.init(KEY, SPACE), "reduce", 0, np.array([1.0, 0.0]))
    expected = relaxation.expected(arch, None, step=0)["reduce"]
    assert expected[0].tolist() == [1, 0]
    np.testing.assert_allclose(expected[1], 0.5, atol=1e-3)


@pytest.mark.parametrize("keep", [None, 1, 2])
def test_single_paths_are_one_hot_and_every_one_is_as_likely(keep):
    space = {"cell": spaces.uniform(spaces.dag(2, 2), ("none", "skip_connect", "tanh"))}
    relaxation = masking.uniform_single_path(space, keep)
    keys = jax.random.split(KEY, 4000)
    draws = jax.jit(jax.vmap(lambda k: relaxation.gates({}, None, key=k, step=0)))(keys)["cell"]
    assert set(np.unique(draws)) == {0, 1}
    open_edges = draws.sum(-1)
    assert open_edges.max() == 1
    if keep is None:
        assert open_edges.min() == 1
    else:
        assert not draws[..., 0].any()
        assert (open_edges[:, :2].sum(1) == keep).all()
        assert (open_edges[:, 2:].sum(1) == keep).all()
    expected = relaxation.expected({}, None, step=0)["cell"]
    np.testing.assert_allclose(draws.mean(0), expected, atol=0.03)
    # Not only the means: of the pairs of edges into the last node each is as likely.
    pairs = collections.Counter(map(tuple, np.asarray(open_edges[:, 2:])))
    assert len(pairs) == (3 if keep else 1)
    assert max(pairs.values()) - min(pairs.values()) < 200


def test_pruning_keeps_the_most_open_candidates_in_their_order():
    space = {"cell": Choice(((0, 1), (0, 2)), (("a", "b", "c"), ("d", "e", "f")))}
    gates = {"cell": np.array([[0.3, 0.1, 0.6], [0.2, 0.2, 0.2]])}
    smaller, columns = masking.pruned(space, gates, 2)
    assert smaller["cell"] == Choice(((0, 1), (0, 2)), (("a", "c"), ("d", "e")))
    arch = {"candidates": {"cell": jnp.arange(6.0).reshape(2, 3)}, "edges": {"cell": jnp.ones(2)}}
    cut = masking.pruned_arch(arch, columns)
    assert cut["candidates"]["cell"].tolist() == [[0, 2], [3, 4]]
    assert cut["edges"]["cell"].tolist() == [1, 1]


def test_impossible_restrictions_are_refused():
    with pytest.raises(ValueError, match="3 candidates 3 cannot be kept"):
        masking.pruned({"normal": SPACE["normal"]}, LOGITS, 3)
    with pytest.raises(ValueError, match="2 edges enter a node, of which 3"):
        masking.uniform_single_path(SPACE, 3)
    nothing = {"cell": spaces.uniform(((0, 1),), ("none",))}
    with pytest.raises(ValueError, match="nothing to draw"):
        masking.uniform_single_path(nothing, 1)


def test_a_program_of_one_stage_finds_what_the_search_found():
    program = one_stage(SPACE, 2, darts.darts, {"partial": 4})
    assert next(program) == Stage("search", SPACE, 2, darts.darts, {"partial": 4}, None)
    with pytest.raises(StopIteration) as end:
        program.send(StageResult(None, LOGITS, None, None, None))
    assert end.value.value == Selection(SPACE, LOGITS)


def test_random_search_trains_every_cell_alone_and_keeps_the_best():
    program = random_search.random_search(SPACE, epochs=6, cells=3, keep=1, seed=4)
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
    genotype = discretise.top_edges_per_node(ran.found.space, ran.found.gates, keep=1)
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
