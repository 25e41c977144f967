"""Selection by perturbation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax, samplers
from jaxnas.core.stages import Selection, Stage, StageResult, one_stage
from jaxnas.core.types import Choice, Supernet
from jaxnas.methods import darts, darts_pt, pc_darts
from jaxnas.methods.optimisers import Optimisers
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import discretise
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices
from tests import drive, toy

SPACE = {
    "normal": spaces.uniform(spaces.dag(2, 2), ("skip_connect", "tanh", "wide")),
    "reduce": spaces.uniform(spaces.dag(2, 1), ("skip_connect", "tanh")),
}
EDGES, CROWDED = 5, 1  # of the larger cell; nodes with more than two inputs
TUNING = darts_pt.Tuning(2, darts_pt.Tuning().optimisers._replace(arch_learning_rate=0.03))


def searched(space):
    return one_stage(space, 2, lambda net, **length: darts.darts(net, **length))


def ended(program, done):
    """What a program finds that has all its questions answered by `done`."""
    try:
        program.send(None)
        while True:
            program.send(done)
    except StopIteration as end:
        return end.value


def skipping():
    """A supernet whose skip carries the same to all classes, however open it is."""
    space = {"cell": Choice(((0, 1),), (("skip_connect", "convolution"),))}

    def apply(weights, stats, gates, inputs):
        gate = gates["cell"][0]
        tells = inputs.reshape(len(inputs), -1) @ weights
        return gate[0] * inputs.mean((1, 2, 3))[:, None] + gate[1] * tells, stats

    return Supernet(space, None, apply, None)


@pytest.mark.parametrize("criterion", ["accuracy", "loss"])
def test_argmax_picks_the_skip_and_perturbation_the_convolution(criterion):
    net, batch = skipping(), toy.at(toy.batches(5, 1), 0)
    flat = np.asarray(batch.inputs).reshape(len(batch.inputs), -1)
    weights = jnp.asarray(np.linalg.lstsq(flat, np.eye(3)[batch.labels], rcond=None)[0] * 20)

    def evaluate(gates):
        def one(row):
            logits, _ = net.apply(weights, {}, {"cell": row}, batch.inputs)
            right = jnp.mean(jnp.argmax(logits, -1) == batch.labels)
            spread = jax.nn.log_softmax(logits)[jnp.arange(len(logits)), batch.labels]
            return right, -spread.mean()

        return tuple(np.asarray(x) for x in jax.vmap(one)(gates["cell"]))

    state = darts.darts(drive.dense(net.space), steps_per_epoch=2).init(
        jax.random.key(0), batch.inputs
    )
    gates = {"cell": np.array([[0.9, 0.1]])}
    done = StageResult(state, gates, evaluate, net, None)
    inner = one_stage(net.space, 1, darts.darts)
    program = darts_pt.perturbation(
        inner, tuning=None, criterion=criterion, edges_per_node=None, seed=0
    )
    found = ended(program, done)
    assert discretise.argmax_per_edge(net.space, gates, name="nasbench201").cells["cell"].edges == (
        (0, 1, "skip_connect"),
    )
    assert discretise.argmax_per_edge(*found, name="nasbench201").cells["cell"].edges == (
        (0, 1, "convolution"),
    )


def told(space, worth, log=None):
    """Finished with an accuracy that is the sum of `worth` times gates; ties are none."""

    def evaluate(gates):
        if log is not None:
            log.append(gates)
        accuracy = sum(np.sum(np.asarray(gates[k]) * worth[k], (1, 2)) for k in space)
        return accuracy, 10 - accuracy

    uniform = {k: np.full(c.shape, 1 / c.shape[1]) for k, c in space.items()}
    arch = {k: np.zeros(c.shape, np.float32) for k, c in space.items()}
    state = darts.darts(drive.dense(space), steps_per_epoch=1).init(
        jax.random.key(0), drive.TRAIN.inputs[0]
    )
    return StageResult(state._replace(arch=arch), uniform, evaluate, None, None)


@pytest.mark.parametrize("criterion", ["accuracy", "loss"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_gates_are_worth_their_sum_the_worthiest_are_kept(seed, criterion):
    """Then the order of decisions is without effect, and the answer is known."""
    rng = np.random.default_rng(7)
    space = darts_choices.darts(4, ("skip_connect", "tanh", "wide"))
    worth = {k: rng.random(c.shape) for k, c in space.items()}
    log = []
    program = darts_pt.perturbation(searched(space), tuning=None, criterion=criterion, seed=seed)
    found = ended(program, told(space, worth, log))
    for name, choice in space.items():
        targets = np.array([t for _, t in choice.edges])
        expected = np.zeros(choice.shape)
        for node in np.unique(targets):
            rows = np.flatnonzero(targets == node)
            kept = rows[np.argsort(-worth[name][rows].max(1))[:2]]
            expected[kept, worth[name][kept].argmax(1)] = 1
        np.testing.assert_array_equal(found.gates[name], expected)
    # One call a decision: 14 edges, then 1 + 2 + 3 inputs of the later nodes, of two cells.
    assert len(log) == 2 * (14 + 1 + 2 + 3)
    assert {len(gates["normal"]) for gates in log[:28]} == {3}


def test_a_removal_closes_one_gate_and_leaves_the_others():
    log = []
    space = {"cell": spaces.uniform(spaces.dag(1, 3), nasbench201_choices.NASBENCH201_CANDIDATES)}
    worth = {"cell": np.ones((6, 5))}
    program = darts_pt.perturbation(searched(space), tuning=None, edges_per_node=None, seed=0)
    ended(program, told(space, worth, log))
    assert len(log) == 6
    first = log[0]["cell"]
    (edge,) = np.unique(np.argwhere(first != 0.2)[:, 1])
    np.testing.assert_allclose(np.asarray(first[:, edge]), 0.2 * (1 - np.eye(5)), rtol=1e-6)
    assert (np.delete(np.asarray(first), edge, 1) == np.float32(0.2)).all()
    # Edges decided before stay one-hot while the others are asked about.
    open_edges = [int((np.asarray(g["cell"])[0].max(1) < 1).sum()) for g in log]
    assert open_edges == [6, 5, 4, 3, 2, 1]


def test_the_order_of_decisions_is_the_seeds():
    space = {"cell": spaces.uniform(spaces.dag(1, 3), ("skip_connect", "tanh"))}

    def order(seed):
        log = []
        program = darts_pt.perturbation(
            searched(space), tuning=None, edges_per_node=None, seed=seed
        )
        ended(program, told(space, {"cell": np.ones((6, 2))}, log))
        return tuple(tuple(np.asarray(g["cell"][0]).max(1) == 1) for g in log)

    assert len({order(seed) for seed in range(4)}) > 1
    assert order(0) == order(0)


@pytest.fixture(scope="module")
def ran():
    return drive.run(darts_pt.perturbation(searched(SPACE), tuning=TUNING, seed=1))


def test_tuning_goes_on_between_rounds_in_one_compiled_program(ran):
    rounds = EDGES + CROWDED
    assert [s.name for s in ran.stages] == ["search"] + [f"tune-{n:02d}" for n in range(rounds - 1)]
    assert ran.traces == 2  # the search, and all of the tuning
    found = {name: np.asarray(gates) for name, gates in ran.found.gates.items()}
    for name, choice in SPACE.items():
        assert set(np.unique(found[name])) == {0, 1}
        targets = [t for _, t in choice.edges]
        opened = [int(found[name].sum(1)[np.array(targets) == t].sum()) for t in set(targets)]
        assert opened == [2] * len(opened)
    assert len(discretise.top_edges_per_node(*ran.found, name="darts").cells["normal"].edges) == 4

    tuned = ran.finished[1:]
    fixed = [int(done.state.arch["is_fixed"]["normal"].sum()) for done in tuned]
    assert fixed == [1, 2, 3, 4, 5]
    for before, began in zip(ran.finished, ran.began[1:], strict=False):
        head = lambda state: np.asarray(state.weights["head"])
        assert np.array_equal(head(before.state), head(began))
    for began, done in zip(ran.began[1:], tuned, strict=True):
        free = lambda state: np.asarray(state.arch["free"]["normal"])
        undecided = np.asarray(done.state.arch["is_fixed"]["normal"]) == 0
        assert (np.abs(free(done.state) - free(began))[undecided].max(1) > 1e-3).all()
        assert not np.array_equal(done.state.weights["head"], began.weights["head"])
        assert np.array_equal(done.state.arch["fixed"]["normal"], began.arch["fixed"]["normal"])


def test_the_learning_rate_falls_through_all_of_the_tuning(ran):
    counts = []
    for began in ran.began[1:]:
        leaves = jax.tree_util.tree_leaves_with_path(began.weight_opt)
        counts.append([int(v) for path, v in leaves if "count" in jax.tree_util.keystr(path)][-1])
    assert counts == [0, 4, 8, 12, 16]


def test_blank_perturbation_trains_no_architecture():
    space = {"cell": spaces.uniform(spaces.dag(1, 2), ("skip_connect", "tanh", "wide"))}
    program = darts_pt.perturbation(
        one_stage(space, 2, darts_pt.blank),
        relaxation=samplers.uniform(space),
        tuning=darts_pt.Tuning(interval=1),
        edges_per_node=1,
        seed=0,
    )
    ran = drive.run(program)
    assert ran.finished[0].state.arch == {}
    np.testing.assert_allclose(ran.finished[0].gates["cell"], 1 / 3)
    assert len(ran.stages) == 1 + 3  # three edges, one crowded node
    undecided = ran.finished[1].gates["cell"]
    assert (np.abs(undecided - 1 / 3) < 1e-6).all(1).sum() == 2
    heads = [np.asarray(done.state.weights["head"]) for done in ran.finished]
    assert all(not np.array_equal(a, b) for a, b in zip(heads, heads[1:], strict=False))
    assert np.asarray(ran.found.gates["cell"]).sum() == 2


def test_perturbation_follows_a_method_with_another_relaxation():
    space = {"cell": spaces.uniform(spaces.dag(2, 1), ("skip_connect", "tanh"))}
    relaxation = relax.edge_normalised(space, relax.softmax())
    inner = one_stage(space, 2, lambda net, **length: pc_darts.pc_darts(net, warm_up=1, **length))
    tuning = darts_pt.Tuning(interval=1)
    ran = drive.run(darts_pt.perturbation(inner, relaxation=relaxation, tuning=tuning, seed=0))
    assert set(ran.finished[1].state.arch["free"]) == {"candidates", "edges"}
    assert np.asarray(ran.found.gates["cell"]).sum() == 2

    by_softmax = told(space, {"cell": np.ones((2, 2))})
    with pytest.raises(ValueError, match="another relaxation"):
        ended(darts_pt.perturbation(searched(space), relaxation=relaxation, seed=0), by_softmax)


@pytest.mark.parametrize(
    "space, settings, message",
    [
        (SPACE, {"criterion": "f1"}, "not by 'f1'"),
        (SPACE, {"tuning": darts_pt.Tuning(interval=0)}, "A tuning of 0 epochs"),
        (SPACE, {"edges_per_node": 0}, "at least one input"),
        (darts_choices.darts(), {}, "without it"),
    ],
)
def test_impossible_settings_are_refused(space, settings, message):
    with pytest.raises(ValueError, match=message):
        next(darts_pt.perturbation(searched(space), seed=0, **settings))


def test_an_architecture_learning_rate_without_architecture_is_refused():
    space = {"cell": SPACE["reduce"]}
    done = told(space, {"cell": np.ones((2, 2))})
    done = done._replace(state=done.state._replace(arch={}))
    program = darts_pt.perturbation(
        one_stage(space, 1, darts_pt.blank),
        relaxation=samplers.uniform(space),
        tuning=darts_pt.Tuning(optimisers=Optimisers(arch_learning_rate=1e-3)),
        seed=0,
    )
    assert isinstance(next(program), Stage)
    with pytest.raises(ValueError, match="arch_learning_rate has no effect"):
        program.send(done)


def test_what_was_found_before_is_not_what_is_found():
    """The inner program's own finding is put aside: its gates are soft."""
    space = {"cell": SPACE["reduce"]}
    done = told(space, {"cell": np.array([[0.0, 1.0], [1.0, 0.0]])})
    found = ended(darts_pt.perturbation(searched(space), tuning=None, seed=0), done)
    assert isinstance(found, Selection)
    np.testing.assert_array_equal(found.gates["cell"], [[0, 1], [1, 0]])
