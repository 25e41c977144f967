"""Few-shot search: which candidates part, and that nothing is lost or double."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.stages import StageResult
from jaxnas.core.types import Batch, Choice, SearchState, Supernet
from jaxnas.methods import few_shot
from jaxnas.methods.optimisers import Optimisers
from jaxnas.nets.mixed import edge_stacks
from jaxnas.spaces import choices as spaces
from jaxnas.spaces.darts import choices as darts_choices
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices
from jaxnas.spaces.nasbench201 import supernet as nasbench201
from tests import drive, toy

NAMES = ("skip_connect", "tanh", "wide")
SPACE = {
    "normal": spaces.uniform(spaces.dag(2, 1), NAMES),
    "reduce": spaces.uniform(spaces.dag(2, 1), NAMES),
}


def program(**settings):
    settings = {"epochs": 4, "splits": (1, 2), "batches": 2} | settings
    return few_shot.few_shot(
        SPACE,
        edge_mask=drive.own,
        optimisers=Optimisers(arch_learning_rate=0.03),
        **settings,
    )


def leaf_masks(ran):
    last = max(len(stage.name) for stage in ran.stages)
    return [
        {k: np.asarray(v) for k, v in done.state.arch["mask"].items()}
        for stage, done in zip(ran.stages, ran.finished, strict=True)
        if len(stage.name) == last
    ]


def test_two_clusters_part_exactly():
    points = np.array([0.0, 5.0, 0.1, 5.2, 0.2])
    distances = np.abs(points[:, None] - points)
    groups, score = few_shot.partition(distances)
    assert groups == ((0, 2, 4), (1, 3))
    within = 0.1 + 0.2 + 0.1 + 0.2
    assert score == pytest.approx(distances[np.triu_indices(5)].sum() - within)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(st.integers(2, 6), st.integers(0, 2**32 - 1))
def test_no_partition_has_less_within_its_groups(count, seed):
    distances = np.random.default_rng(seed).random((count, count))
    distances = distances + distances.T
    (first, second), score = few_shot.partition(distances)
    assert sorted(first + second) == list(range(count))
    assert first and second
    within = lambda group: sum(distances[a][b] for a, b in itertools.combinations(group, 2))
    total = within(range(count))
    assert score == pytest.approx(total - within(first) - within(second))
    for bits in range(1, 2**count - 1):
        one = [n for n in range(count) if bits >> n & 1]
        other = [n for n in range(count) if not bits >> n & 1]
        assert within(one) + within(other) >= total - score - 1e-12


def opposed() -> Supernet:
    """Of the second edge `up` and `steep` pull a shared weight one way, `down` the other way.

    Candidates of the first edge agree.
    """
    space = {"cell": Choice(((0, 1), (0, 2)), (("up", "steep", "flat"), ("up", "down", "steep")))}

    def apply(weights, stats, gates, inputs):
        first = gates["cell"][0] @ jnp.array([1.0, 2.0, 1.0])
        second = gates["cell"][1] @ jnp.array([1.0, -1.0, 2.0])
        x = weights["shared"] * inputs.mean((1, 2, 3)) ** 2 + weights["own"] * gates["cell"][1, 1]
        return jnp.stack([first * second * x, 0 * x, 0 * x], 1), stats

    return Supernet(space, None, apply, None)


def opposed_own(space, weights, name, edge):
    return {"shared": jnp.zeros(()), "own": jnp.ones(()) * (edge == 1)}


def opposed_finished(net, labels):
    weights = {"shared": jnp.float32(0.5), "own": jnp.float32(0.3)}
    state = SearchState(None, None, {}, weights, {}, None, None, None)
    gates = {"cell": np.full((2, 3), 1 / 3, np.float32)}
    inputs = jax.random.normal(jax.random.key(0), (4, 2, 2, 2))
    return StageResult(state, gates, None, net, lambda i: Batch(inputs + i, labels))


def test_distances_are_one_less_cosine_of_shared_gradients_alone():
    net = opposed()
    done = opposed_finished(net, jnp.ones(4, jnp.int32))
    matching = few_shot.Matching(3, opposed_own, {})
    # With one shared number the cosine is its sign: `own` would blur it.
    found = few_shot.distances(net.space, "cell", 1, matching, done)
    np.testing.assert_allclose(found, [[0, 2, 0], [2, 0, 2], [0, 2, 0]], atol=1e-5)
    assert few_shot.partition(found)[0] == ((0, 2), (1,))
    everything = few_shot.Matching(3, lambda *_: {"shared": 0.0, "own": 0.0}, {})
    blurred = few_shot.distances(net.space, "cell", 1, everything, done)
    assert abs(blurred[0, 1] - 2) > 1e-3


def test_the_edge_whose_candidates_part_most_is_split():
    net = opposed()
    done = opposed_finished(net, jnp.ones(4, jnp.int32))
    matching = few_shot.Matching(1, opposed_own, {})
    edge, groups = few_shot._best_split(net.space, frozenset(), matching, done)
    assert edge == ("cell", 1)
    assert groups == ((0, 2), (1,))
    edge, _ = few_shot._best_split(net.space, frozenset({("cell", 1)}), matching, done)
    assert edge == ("cell", 0)


def test_a_gradient_of_zero_is_at_distance_one():
    net = opposed()
    done = opposed_finished(net, jnp.ones(4, jnp.int32))
    dead = done._replace(net=net._replace(apply=lambda w, s, g, x: (jnp.zeros((4, 3)), s)))
    matching = few_shot.Matching(1, opposed_own, {})
    found = few_shot.distances(net.space, "cell", 0, matching, dead)
    np.testing.assert_array_equal(found, 1 - np.eye(3))


@pytest.fixture(scope="module")
def ran():
    return drive.run(program())


def test_leaves_are_disjoint_and_complete(ran):
    leaves = leaf_masks(ran)
    assert len(leaves) == 4
    for cell in itertools.product(range(3), repeat=4):
        columns = {"normal": cell[:2], "reduce": cell[2:]}
        inside = [
            all(mask[name][e, c] for name in SPACE for e, c in enumerate(columns[name]))
            for mask in leaves
        ]
        assert sum(inside) == 1


def test_the_tree_hands_down_weights_and_compiles_once(ran):
    assert [(s.name, s.epochs) for s in ran.stages] == [
        ("tree", 1),
        ("tree-0", 1),
        ("tree-0-0", 2),
        ("tree-0-1", 2),
        ("tree-1", 1),
        ("tree-1-0", 2),
        ("tree-1-1", 2),
    ]
    assert ran.traces == 1
    ended = dict(zip([s.name for s in ran.stages], ran.finished, strict=True))
    for stage, began, done in zip(ran.stages[1:], ran.began[1:], ran.finished[1:], strict=True):
        parent = ended[stage.name.rsplit("-", 1)[0]].state
        for part in ("weights", "weight_opt", "arch_opt", "stats"):
            pairs = zip(
                jax.tree.leaves(getattr(parent, part)),
                jax.tree.leaves(getattr(began, part)),
                strict=True,
            )
            assert all(np.array_equal(a, b) for a, b in pairs)
        for name, mask in done.state.arch["mask"].items():
            assert np.array_equal(mask, began.arch["mask"][name])
            assert (mask <= parent.arch["mask"][name]).all()
            assert not np.asarray(done.gates[name])[np.asarray(mask) == 0].any()
            np.testing.assert_allclose(np.asarray(done.gates[name]).sum(1), 1, rtol=1e-5)


def test_the_most_accurate_leaf_is_found(ran):
    leaves = [d for s, d in zip(ran.stages, ran.finished, strict=True) if len(s.name) == 8]
    accuracy = [d.evaluate(jax.tree.map(lambda g: g[None], d.gates))[0][0] for d in leaves]
    best = leaves[int(np.argmax(accuracy))]
    assert all(np.array_equal(ran.found.gates[name], best.gates[name]) for name in SPACE)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"splits": (2, 1)}, "ascending"),
        ({"splits": (1, 4)}, "ascending"),
        ({"splits": ()}, "ascending"),
        ({"batches": 0}, "batches >= 1"),
        ({"splits": (1, 2, 3, 4, 5), "epochs": 9}, "4 edges have a choice"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        program(**settings)


@pytest.mark.parametrize("kind", ["darts", "nasbench201"])
def test_own_marks_the_weights_that_stand_still_where_an_edge_is_closed(kind):
    if kind == "darts":
        space = darts_choices.darts(2, ("skip_connect", "dil_conv_3x3"))
        net = darts.supernet(space, features=2, cells=2, reductions=(1,), classes=3)
        # By hand: depthwise 9 C, pointwise C^2; a skip that halves the size C^2.
        cases = {("normal", 1): 9 * 2 + 4, ("reduce", 0): 9 * 4 + 2 * 16, ("reduce", 4): 9 * 4 + 16}
    else:
        space = nasbench201_choices.nasbench201(("none", "skip_connect", "nor_conv_1x1"))
        net = nasbench201.supernet(space, features=2, cells=2)
        each = 2 * sum(c * c + c for c in (2, 4, 8))  # kernel, bias; two cells a stage
        cases = {("cell", 0): each, ("cell", 4): each}
    images = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    weights, stats = toy.begun(net, images)

    def loss(weights, gates):
        logits = net.apply(weights, stats, gates, images)[0]
        return jnp.mean(logits**3)

    slope = toy.jit(jax.grad(loss))
    for (name, edge), count in cases.items():
        gates = {k: jnp.full(c.shape, 0.3) for k, c in net.space.items()}
        gates[name] = gates[name].at[edge].set(0)
        found = slope(weights, gates)
        marks = jax.tree.map(
            lambda mark, leaf: np.broadcast_to(np.asarray(mark) > 0, leaf.shape),
            edge_stacks.edge_mask(net.space, weights, name, edge),
            weights,
        )
        assert sum(mark.sum() for mark in jax.tree.leaves(marks)) == count
        for mark, leaf in zip(jax.tree.leaves(marks), jax.tree.leaves(found), strict=True):
            leaf = np.asarray(leaf)
            assert not leaf[mark].any()
            # Of what is not marked some stands still by ReLU, or by the normalisation after it.
            assert mark.all() or leaf.ndim < 2 or np.abs(leaf[~mark]).max() > 1e-9
