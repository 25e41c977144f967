"""P-DARTS and progressive DrNAS: candidates go, stage by stage."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.core.types import Choice
from jaxnas.methods import p_darts, progressive_dr_nas
from jaxnas.nets import batch_norm, net2wider, ops, skip_dropout
from jaxnas.spaces import choices as spaces_choices
from jaxnas.spaces import discretise
from jaxnas.spaces.darts import choices as spaces
from jaxnas.spaces.darts import supernet as darts
from jaxnas.spaces.nasbench201 import choices as nasbench201_choices
from jaxnas.spaces.nasbench201 import supernet as nasbench201
from tests import drive, toy

SPACE = spaces.darts(1, ("none", "skip_connect", "tanh", "wide", "deep"))
KEY = jax.random.key(0)


def run(**settings):
    asked = []

    def make(space, cells, candidates=None):
        asked.append((cells, candidates))
        return drive.dense(space)

    program = p_darts.p_darts(
        SPACE,
        steps_per_epoch=drive.STEPS_PER_EPOCH,
        skip_dropout=lambda rate: rate,
        optimisers=p_darts.OPTIMISERS._replace(arch_learning_rate=0.05),
        **({"epochs": 3, "rest": 1, "keep": (3,)} | settings),
    )
    return drive.run(program, make), asked


def test_stages_grow_deeper_and_lose_the_least_open_candidates():
    ran, asked = run(cells=(2, 3), dropout=(0.0, 0.4))
    assert [cells for cells, _ in asked] == [2, 3]
    assert asked[0][1] is None
    np.testing.assert_allclose([rate(0) for _, rate in asked[1:]], [0.4 * 2 / 3])
    assert [stage.space["normal"].shape[1] for stage in ran.stages] == [5, 3]
    for before, after, done in zip(ran.stages, ran.stages[1:], ran.finished, strict=False):
        for name, choice in before.space.items():
            for edge, names in enumerate(choice.candidates):
                kept = after.space[name].candidates[edge]
                lost = [n for n in names if n not in kept]
                gate = dict(zip(names, done.gates[name][edge], strict=True))
                assert [n for n in names if n in kept] == list(kept)
                assert max(gate[n] for n in lost) <= min(gate[n] for n in kept)
    # New weights and a new architecture every time, at rest for an epoch of two steps.
    logits = [began.arch["normal"] for began in ran.began]
    assert all(np.abs(logit).max() < 0.01 for logit in logits)
    assert ran.found.space == ran.stages[-1].space
    assert discretise.top_edges_per_node(*ran.found, name="darts").cells["normal"].edges


def test_the_architecture_rests_at_first_and_its_gradient_is_clipped():
    # Clipped to nothing, its gradient leaves the decay alone, which draws all logits to zero.
    search = p_darts.stage_search(
        drive.dense(SPACE), epochs=2, steps_per_epoch=2, rest=1, arch_clip_norm=1e-9
    )
    state = search.init(KEY, drive.TRAIN.inputs[0])
    logits = lambda state: np.concatenate([np.ravel(state.arch[name]) for name in SPACE])
    update, moves, active = toy.jit(search.update), [], []
    for n in range(3):
        before = logits(state)
        state, metrics = update(state, toy.at(drive.TRAIN, n % 2), toy.at(drive.VALID, n % 2))
        moves.append(logits(state) - before)
        active.append(float(metrics["arch/active"]))
    assert active == [0, 0, 1]
    assert not moves[0].any() and not moves[1].any()
    assert (np.sign(moves[2]) == -np.sign(before)).all()


def test_the_dropout_of_skips_is_the_papers():
    rate = p_darts.rate_of(0.4, 25, 10, steps_per_epoch=3)
    at = lambda epoch: float(rate(jnp.int32(3 * epoch + 1)))
    golden = {0: 0.4 * 24 / 25, 9: 0.4 * 15 / 25, 10: 0.4, 15: 0.4 * np.exp(-1), 24: 0.0243240251}
    assert {epoch: at(epoch) for epoch in golden} == pytest.approx(golden, rel=1e-5)


def test_a_dropped_skip_keeps_the_mean_and_drops_at_its_rate():
    # Its rate is an eighth more at every step, up to a half.
    skip = skip_dropout.candidates(lambda step: jnp.minimum(step / 8, 0.5))["skip_connect"]
    module, still = (skip(4, 1, batch_norm.norms(False, on).inside) for on in (True, False))
    x = jnp.ones((8, 16, 16, 4))
    stats = module.init(KEY, x)["stats"]
    assert stats["step"] == 0

    @toy.jit
    def apply(stats):
        y, moved = module.apply({"stats": stats}, x, mutable=["stats"])
        return y, moved["stats"]

    seen = []
    for step in range(6):
        before, (y, stats) = stats, apply(stats)
        seen.append(np.asarray(y))
        rate = min(step / 8, 0.5)
        assert np.mean(seen[-1] == 0) == pytest.approx(rate, abs=0.02)
        assert np.unique(seen[-1][seen[-1] > 0]).tolist() == pytest.approx([1 / (1 - rate)])
        assert stats["step"] == step + 1
    np.testing.assert_array_equal(apply(before)[0], seen[-1])  # resumed, it drops alike
    assert not np.array_equal(seen[-1], seen[-2])
    assert jnp.array_equal(still.apply({"stats": stats}, x), x)


@pytest.mark.parametrize("execute", ["all", "selected"])
def test_a_supernet_drops_its_skips_and_infers_without(execute):
    space = spaces.darts(1, ("skip_connect", "max_pool_3x3"))
    table = skip_dropout.candidates(lambda step: jnp.where(step < 1, 0.0, 0.5))
    make = lambda **candidates: darts.supernet(
        space, features=2, cells=2, reductions=(), classes=3, execute=execute, **candidates
    )
    plain, net = make(), make(candidates=table)
    images = jax.random.normal(KEY, (2, 8, 8, 3))
    weights, stats = toy.jit(net.init)(KEY, images)
    _, plain_stats = toy.jit(plain.init)(KEY, images)
    gates = {name: jnp.tile(jnp.array([0.6, 0.4]), (2, 1)) for name in space}
    apply = toy.jit(net.apply)
    logits, moved = apply(weights, stats, gates, images)
    expected, plain_moved = toy.jit(plain.apply)(weights, plain_stats, gates, images)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    for cell in ("cell_0", "cell_1"):
        assert moved[cell]["edges"]["skip_connect"]["step"].tolist() == [1, 1]  # one a source
    again, _ = apply(weights, moved, gates, images)
    assert not np.allclose(again, expected, atol=1e-3)
    inferred = toy.jit(net.infer)(weights, moved, gates, images)
    plainly = toy.jit(plain.infer)(weights, plain_moved, gates, images)
    np.testing.assert_allclose(inferred, plainly, rtol=1e-5, atol=1e-6)


def test_at_stride_two_a_skip_is_not_dropped():
    norm = batch_norm.norms(False, True).inside
    table = skip_dropout.candidates(lambda step: 0.5)
    assert isinstance(table["skip_connect"](4, 2, norm), ops.FactorizedReduce)
    assert {name for name in table if table[name] is not ops.DARTS[name]} == {"skip_connect"}


def test_skips_are_limited_from_the_weakest_and_the_cell_selected_anew():
    space = spaces.darts(2, ("none", "skip_connect", "tanh"))
    # Edges (0,2) (1,2) (0,3) (1,3) (2,3); all but the third want to skip.
    rows = [[0.1, 0.6, 0.3], [0.1, 0.7, 0.2], [0.9, 0.0, 0.1], [0.1, 0.5, 0.4], [0.0, 0.8, 0.2]]
    gates = {name: np.array(rows) for name in space}
    skips = lambda gates: sorted(
        e[:2]
        for e in discretise.top_edges_per_node(space, gates, name="darts").cells["normal"].edges
        if e[2][0] == "s"
    )
    assert skips(gates) == [(0, 2), (1, 2), (1, 3), (2, 3)]
    limited = p_darts.limit_skips(space, gates, 2)
    assert skips(limited) == [(1, 2), (2, 3)]
    changed = np.argwhere(limited["normal"] != gates["normal"]).tolist()
    assert changed == [[0, 1], [3, 1]]
    assert limited["reduce"] is gates["reduce"]
    assert p_darts.limit_skips(space, gates, 4)["normal"].tolist() == rows
    # Selected anew, a node may turn to another edge.
    gates["normal"][2] = [0.0, 0.0, 0.45]
    edges = (
        discretise.top_edges_per_node(space, p_darts.limit_skips(space, gates, 2), name="darts")
        .cells["normal"]
        .edges
    )
    assert (0, 3, "tanh") in edges


def test_skips_that_cannot_be_avoided_are_an_error():
    space = {"normal": spaces_choices.uniform(spaces_choices.dag(2, 1), ("skip_connect",))}
    gates = {"normal": np.ones((2, 1))}
    with pytest.raises(ValueError, match="No cell of this space has 1 skips"):
        p_darts.limit_skips(space, gates, 1)
    with pytest.raises(ValueError, match="give None"):
        p_darts.limit_skips({"cell": space["normal"]}, {"cell": gates["normal"]}, 1)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"cells": (2, 3, 4)}, "3 stages have as many dropouts"),
        ({"keep": (5,)}, "fewer candidates"),
        ({"keep": (0,)}, "fewer candidates"),
        ({"dropout": (0.1, 1.0)}, r"chance in \[0, 1\)"),
        ({"rest": 3}, "A rest of 3 epochs"),
        ({"skips": -1}, "-1 skips"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        run(**({"cells": (2, 3), "dropout": (0.1, 0.4)} | settings))


# Progressive DrNAS.


def test_progressive_dr_nas_goes_on_with_its_architecture():
    asked = []

    def make(space, partial):
        asked.append(partial)
        return drive.dense(space)

    def widened(old_space, space, old, new, seed):
        assert seed == 5
        asked.append([c["normal"].shape[1] for c in (old_space, space)])
        return new

    program = progressive_dr_nas.progressive_dr_nas(
        SPACE,
        widen=widened,
        epochs=(2, 2),
        rest=1,
        keep=(3,),
        optimisers=progressive_dr_nas.OPTIMISERS._replace(arch_learning_rate=0.05),
        seed=5,
    )
    ran = drive.run(program, make)
    assert asked == [6, 4, [5, 3]]
    first, second = ran.finished[0], ran.began[1]
    for name, choice in SPACE.items():
        assert np.array_equal(second.arch["edges"][name], first.state.arch["edges"][name])
        for edge, names in enumerate(ran.stages[1].space[name].candidates):
            columns = [choice.candidates[edge].index(n) for n in names]
            logits = np.asarray(first.state.arch["candidates"][name])[edge, columns]
            np.testing.assert_array_equal(second.arch["candidates"][name][edge], logits)
            means = first.gates[name][edge]
            assert set(np.argsort(-means)[:3]) == set(columns)
    assert ran.found.gates["normal"].shape == (2, 3)


def test_progressive_dr_nas_takes_another_relaxation():
    program = progressive_dr_nas.progressive_dr_nas(
        SPACE, widen=None, relaxation=lambda space: relax.dirichlet(), seed=0
    )
    search = next(program).method(drive.dense(SPACE), epochs=25, steps_per_epoch=2)
    state = jax.eval_shape(search.init, KEY, drive.TRAIN.inputs[0])
    assert set(state.arch) == set(SPACE)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"epochs": (2,)}, "1 stages"),
        ({"keep": (5,)}, "fewer candidates"),
        ({"partial": (4, 6)}, "as large a part"),
        ({"rest": 2}, "A rest of 2 epochs"),
    ],
)
def test_impossible_stages_of_dr_nas_are_refused(settings, message):
    settings = {"epochs": (2, 2), "rest": 1, "keep": (3,), "seed": 0} | settings
    with pytest.raises(ValueError, match=message):
        progressive_dr_nas.progressive_dr_nas(SPACE, widen=None, **settings)


FEW = ("skip_connect", "avg_pool_3x3", "sep_conv_3x3")


def trees(net, seed, images):
    """Weights and statistics, all numbers different."""
    shapes = jax.eval_shape(net.init, KEY, images)
    rng = np.random.default_rng(seed)
    draw = lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(draw, shapes)


@pytest.mark.parametrize("kind", ["darts", "nasbench201"])
def test_with_fewer_candidates_and_as_many_channels_the_function_stays(kind):
    """A supernet that keeps two of three candidates is the old one with closed gates."""
    keep = lambda choice: Choice(
        choice.edges, tuple((row[e % 2], row[2]) for e, row in enumerate(choice.candidates))
    )
    if kind == "darts":
        old_space = spaces.darts(2, FEW)
        make = lambda space: darts.supernet(
            space, features=4, cells=2, reductions=(1,), classes=3, partial=2
        )
    else:
        old_space = nasbench201_choices.nasbench201(
            ("skip_connect", "nor_conv_1x1", "nor_conv_3x3")
        )
        make = lambda space: nasbench201.supernet(space, features=4, cells=2, partial=2)
    space = {name: keep(choice) for name, choice in old_space.items()}
    images = jax.random.normal(KEY, (2, 8, 8, 3))
    before, after = make(old_space), make(space)
    old = trees(before, 1, images)
    weights, stats = net2wider.widen(old_space, space, old, trees(after, 2, images), 0)
    gates = {name: jnp.full(choice.shape, 0.4) for name, choice in space.items()}
    is_kept = lambda name, choice: jnp.array(
        [[n in space[name].candidates[e] for n in row] for e, row in enumerate(choice.candidates)]
    )
    closed = {name: 0.4 * is_kept(name, choice) for name, choice in old_space.items()}
    found = toy.jit(after.apply)(weights, stats, gates, images)[0]
    expected = toy.jit(before.apply)(*old, closed, images)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "name, stride", [("sep_conv_3x3", 1), ("dil_conv_5x5", 2), ("skip_connect", 2)]
)
def test_a_wider_op_gives_copied_channels_for_copied_channels(name, stride):
    few, many = 6, 9
    norm = batch_norm.norms(False, False).inside  # by running statistics, which are widened too
    images = lambda channels: jax.random.normal(KEY, (3, 8, 8, channels))
    make = lambda channels: ops.DARTS[name](channels, stride, norm)
    shapes = lambda channels: jax.eval_shape(make(channels).init, KEY, images(channels))
    rng = np.random.default_rng(1)
    draw = lambda leaf: jnp.asarray(rng.uniform(0.5, 2, leaf.shape), jnp.float32)
    old = jax.tree.map(draw, shapes(few))
    kinds = ("params", "stats")
    parts = [[{name: tree[kind]} for kind in kinds] for tree in (old, shapes(many))]
    new = dict(zip(kinds, net2wider._widen_op(name, *parts, leading_axes=0, seed=3), strict=True))
    chex.assert_trees_all_equal_shapes(new, shapes(many))

    x = images(few)
    places = net2wider._copied_channels(name, 3, few, many)
    assert sorted(set(places)) == list(range(few))
    narrow = np.asarray(toy.jit(make(few).apply)(old, x))
    wide = np.asarray(toy.jit(make(many).apply)(new, x[..., places]))
    distance = np.abs(wide[..., :, None] - narrow[..., None, :]).max((0, 1, 2))
    assert distance.min(1).max() < 1e-5 * np.abs(narrow).max()
    if name != "skip_connect":
        assert (distance.argmin(1) == places).all()
    else:
        even = net2wider._copied_channels(name, 3, 3, 4)
        assert (
            distance.argmin(1) == [*even, *(3 + net2wider._copied_channels(name, 3, 3, 5))]
        ).all()


def test_a_widened_supernet_fits_and_does_not_shrink():
    images = jax.random.normal(KEY, (2, 8, 8, 3))
    old_space, space = spaces.darts(1, FEW), spaces.darts(1, FEW[1:])
    make = lambda space, partial: darts.supernet(
        space, features=12, cells=2, reductions=(1,), classes=3, partial=partial
    )
    narrow, wide = trees(make(old_space, 6), 1, images), trees(make(space, 4), 2, images)
    weights, stats = net2wider.widen(old_space, space, narrow, wide, 0)
    chex.assert_trees_all_equal_shapes((weights, stats), wide)
    for cell in ("cell_0", "cell_1"):
        loop = "edges" if cell == "cell_0" else "edges_from_inputs"
        before, after = (
            tree[cell][loop]["sep_conv_3x3"]["depthwise_0"]["kernel"]
            for tree in (narrow[0], weights)
        )
        np.testing.assert_array_equal(after[..., : before.shape[-1]], before)
    np.testing.assert_array_equal(weights["stem"]["convolution"]["kernel"],
                                  narrow[0]["stem"]["convolution"]["kernel"])  # fmt: skip
    with pytest.raises(ValueError, match="not widened to"):
        net2wider.widen(old_space, old_space, trees(make(old_space, 4), 1, images), narrow, 0)
    other = darts.supernet(space, features=12, cells=2, reductions=(1,), classes=5, partial=4)
    with pytest.raises(ValueError, match="differ by more"):
        net2wider.widen(old_space, space, narrow, trees(other, 2, images), 0)
