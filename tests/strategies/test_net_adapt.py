"""NetAdapt: every step cheaper, zeros that compute what a narrower network does."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxnas.core.types import Batch
from jaxnas.hardware import width_table
from jaxnas.nets import channel_groups, count
from jaxnas.spaces import genotype, pruned_file, pruning, registry
from jaxnas.spaces.darts import entry as darts_entry
from jaxnas.spaces.darts import network as darts_network
from jaxnas.spaces.genotype import Cell
from jaxnas.spaces.hypercuboid import entry as hypercuboid_entry
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import network as networks
from jaxnas.spaces.mobile import pruning as mobile_pruning
from jaxnas.spaces.mobile import zoo
from jaxnas.spaces.mobile.chain import SKIP, Chain, ChainStage
from jaxnas.spaces.nasbench201 import entry as nasbench201_entry
from jaxnas.spaces.nasbench201 import notation
from jaxnas.strategies import net_adapt
from tests.mobile_toys import jit
from tests.toy import begun

IMAGE = (8, 8, 3)
SEARCHED = ("k3_e3", "k5_e3", SKIP)
CHAIN = Chain(
    "tiny",
    8,
    1,
    (
        ChainStage(("k3_e1",), 4, 1, 1),
        ChainStage(SEARCHED, 8, 3, 2),
        ChainStage(SEARCHED, 12, 1, 1),
    ),
    24,
)
GENOTYPE = chains.genotype(CHAIN, ["k3_e3", "k5_e3", SKIP, "k3_e3"])
WHOLE = mobile_pruning.fixed_chain(CHAIN, GENOTYPE)
GROUPS = mobile_pruning.groups(WHOLE)
CLASSES = 3
MACS = lambda chain: mobile_pruning.macs(chain, IMAGE, CLASSES)


def network(chain):
    return networks.network(chain, chains.genotype(chain), classes=CLASSES)


@functools.cache
def batches():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, (3, 12))
    images = rng.normal(size=(3, 12, *IMAGE)) + labels[:, :, None, None, None]
    return Batch(jnp.array(images, jnp.float32), jnp.array(labels, jnp.int32))


def batch(i):
    return jax.tree.map(lambda leaf: leaf[i % 3], batches())


@functools.cache
def trained():
    """Weights and statistics that are not those of the beginning."""
    net = networks.network(CHAIN, GENOTYPE, classes=CLASSES)
    weights, stats = jit(net.init)(jax.random.key(0), batch(0).inputs)
    noise = lambda leaf: leaf + 0.1 * np.random.default_rng(leaf.size).normal(size=leaf.shape)
    moved = jax.tree.map(lambda leaf: jnp.asarray(noise(leaf), leaf.dtype), weights)
    return moved, jax.tree.map(lambda leaf: leaf + 0.1, stats)


@pytest.mark.parametrize(
    "chain",
    [
        WHOLE,
        mobile_pruning.fixed_chain(zoo.single_path(), zoo.spnasnet()),
        mobile_pruning.fixed_chain(*zoo.proxyless_mobile()),
        mobile_pruning.fixed_chain(*zoo.fbnet_a()),
        mobile_pruning.fixed_chain(
            zoo.mobilenet_v3_small(), chains.genotype(zoo.mobilenet_v3_small())
        ),
    ],
    ids=["small", "spnasnet", "proxyless", "fbnet", "v3"],
)
def test_a_fixed_chain_counts_as_its_network_does(chain):
    image = IMAGE if chain is WHOLE else (224, 224, 3)
    net = networks.network(chain, chains.genotype(chain), classes=CLASSES)
    assert mobile_pruning.macs(chain, image, CLASSES) == count.macs(net, image)


def test_zeros_compute_what_the_narrower_network_does():
    weights, stats = trained()
    masks = channel_groups.all_channels(GROUPS)
    for group, width in (("hidden_1", 7), ("features_2", 5), ("head", 20), ("features_0", 6)):
        masks[group] = channel_groups.largest_filters(GROUPS[group], masks[group], weights, width)
    chain = mobile_pruning.remaining_chain(WHOLE, masks)
    masked = jax.tree.map(
        jnp.multiply, weights, channel_groups.weight_masks(GROUPS, masks, weights)
    )
    expected = jit(network(WHOLE).infer)(masked, stats, batch(0).inputs)
    less, fewer = channel_groups.cut(GROUPS, masks, masked, stats)
    net = network(chain)
    shapes = jax.eval_shape(net.init, jax.random.key(0), batch(0).inputs)
    chex.assert_trees_all_equal_shapes((less, fewer), shapes)
    found = jit(net.infer)(less, fewer, batch(0).inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(found) > 0.01
    assert MACS(chain) < MACS(WHOLE)


def test_the_weakest_channels_go():
    group = channel_groups.ChannelGroup(
        4, (channel_groups.ChannelSlice(("a",), -1), channel_groups.ChannelSlice(("b",), -1)), ()
    )
    weights = {"a": np.array([[1.0, 5.0, 2.0, 0.1]]), "b": np.array([[3.0, 0.0, 0.0, 0.1]])}
    mask = channel_groups.largest_filters(group, np.ones(4, bool), weights, 2)
    assert mask.tolist() == [True, True, False, False]
    mask = channel_groups.largest_filters(group, np.array([False, True, True, True]), weights, 2)
    assert mask.tolist() == [False, True, True, False]


def test_widths_that_would_change_the_network_are_not_proposed():
    """As many channels inside as enter would have no first convolution; two stages of equal
    features would be added."""
    masks = channel_groups.all_channels(GROUPS)
    entering = int(masks["features_1"].sum())
    masks["hidden_1"] = np.arange(len(masks["hidden_1"])) < entering
    assert mobile_pruning.remaining_chain(WHOLE, masks) is None
    masks = channel_groups.all_channels(GROUPS)
    last = sorted((p for p in masks if p.startswith("features")), key=lambda p: len(masks[p]))[-1]
    before = chains.layers(WHOLE)[-1].inputs
    masks[last] = np.arange(len(masks[last])) < before
    assert mobile_pruning.remaining_chain(WHOLE, masks) is None


@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_no_narrowing_is_cheaper_than_the_least(multiple):
    """Every group at its narrowest, one width after the other where that is a chain at all."""
    masks = channel_groups.all_channels(GROUPS)
    for name, group in GROUPS.items():
        widths = range(multiple, group.width, multiple)
        tried = ({**masks, name: np.arange(group.width) < width} for width in widths)
        masks = next((k for k in tried if mobile_pruning.remaining_chain(WHOLE, k)), masks)
    least = MACS(mobile_pruning.narrowest(WHOLE, multiple))
    assert least <= MACS(mobile_pruning.remaining_chain(WHOLE, masks)) < 2.5 * least


def test_a_network_is_narrowed_into_its_budget_and_every_step_is_cheaper():
    budget = 0.85 * MACS(WHOLE)
    prunable = mobile_pruning.prunable_network(WHOLE, CLASSES)
    fitted = net_adapt.network(
        net_adapt.Pretrained(prunable, *trained()), cost=MACS, budget=budget,
        train=batch, valid=batch(0), schedule=net_adapt.Schedule(steps=1, first=0.08),
    )  # fmt: skip
    costs = [MACS(WHOLE), *(step.cost for step in fitted.steps)]
    assert all(after < before for before, after in zip(costs, costs[1:], strict=False))
    assert costs[-1] <= budget < costs[-2]
    assert MACS(fitted.remaining) == costs[-1] == count.macs(network(fitted.remaining), IMAGE)
    logits = jit(network(fitted.remaining).infer)(fitted.weights, fitted.stats, batch(0).inputs)
    right = np.mean(np.argmax(logits, -1) == batch(0).labels)
    assert right == pytest.approx(fitted.steps[-1].score)


# A network of two parts whose costs are their widths, the second ten times.


def toy(tuned=lambda net: net, score=lambda net: net["a"] + 100 * net["b"]):
    return net_adapt.Narrowing(
        widths=lambda net: net,
        narrowed=lambda net, part, width: {**net, part: width},
        cost=lambda net: net["a"] + 10 * net["b"],
        tuned=tuned,
        score=score,
    )


def test_what_judges_best_is_narrowed():
    net, steps = net_adapt.adapt({"a": 90, "b": 10}, toy(), 150.0, first=0.1)
    assert net == {"a": 50, "b": 10} and {step.part for step in steps} == {"a"}
    assert [step.cost for step in steps] == sorted({step.cost for step in steps}, reverse=True)
    net, steps = net_adapt.adapt({"a": 90, "b": 10}, toy(), 95.0, first=0.1)
    assert net["b"] < 10 and steps[-1].cost <= 95


@pytest.mark.parametrize(
    ("budget", "settings", "reason"),
    [
        (190.0, {}, "between 0 and that"),
        (0.0, {}, "between 0 and that"),
        (5.0, {}, "cannot be met"),
        (50.0, {"first": 0.0}, "0 < first < 1"),
        (50.0, {"decay": 1.5}, "decay <= 1"),
    ],
)
def test_budgets_that_cannot_be_are_refused(budget, settings, reason):
    with pytest.raises(ValueError, match=reason):
        net_adapt.adapt({"a": 90, "b": 10}, toy(), budget, **settings)


def test_a_chain_that_is_not_chosen_yet_is_refused():
    with pytest.raises(ValueError, match="not chosen yet"):
        mobile_pruning.groups(zoo.single_path())


def test_channels_in_groups_and_those_that_are_squeezed_stay():
    stages = [("k3_e1", 4), ("k3_e2", 8), ("k3_e2_g2", 12), ("k3_e3", 6), ("k3_e2_se", 10)]
    chain = WHOLE._replace(stages=tuple(ChainStage((op,), width, 1, 1) for op, width in stages))
    prunable = mobile_pruning.prunable_network(chain, CLASSES)
    # features_2 enter the groups, 3 leave them, 4 are squeezed; hidden_2 and hidden_4 are theirs.
    assert sorted(prunable.groups) == [
        "features_0", "features_1", "features_5", "head", "hidden_1", "hidden_3"
    ]  # fmt: skip
    weights, stats = noisy(prunable.net, batch(0).inputs)
    masks = channel_groups.all_channels(prunable.groups)
    for name, group in prunable.groups.items():
        masks[name] = channel_groups.largest_filters(group, masks[name], weights, group.width - 1)
    masked = jax.tree.map(
        jnp.multiply, weights, channel_groups.weight_masks(prunable.groups, masks, weights)
    )
    expected = jit(prunable.net.infer)(masked, stats, batch(0).inputs)
    less = prunable.network(prunable.remaining(masks))
    found = jit(less.infer)(
        *channel_groups.cut(prunable.groups, masks, masked, stats), batch(0).inputs
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(found) > 0.01


def test_widths_are_multiples():
    net, steps = net_adapt.adapt({"a": 90, "b": 10}, toy(), 150.0, first=0.1, multiple=8)
    assert all(step.width % 8 == 0 for step in steps) and net["b"] == 10
    with pytest.raises(ValueError, match="multiple >= 1"):
        net_adapt.adapt({"a": 90, "b": 10}, toy(), 150.0, multiple=0)


# Networks of cells and paths, whose parts are found from shapes.

SHARP = genotype.Genotype("darts-sharp", {
    name: Cell(((0, 2, "flood_conv_3x3"), (1, 2, "choke_conv_3x3"), (0, 3, "skip_connect"),
                (2, 3, "dil_conv_3x3")), 2, (2, 3))
    for name in ("normal", "reduce")
})  # fmt: skip
AMOEBA = genotype.Genotype("darts", {
    name: Cell(((0, 2, "conv_7x1_1x7"), (1, 2, "max_pool_3x3"), (1, 3, "skip_connect"),
                (2, 3, "sep_conv_3x3")), 2, (3, 2))
    for name in ("normal", "reduce")
})  # fmt: skip
ENTRIES = {
    "darts": (darts_entry, 3), "darts-sharp": (darts_entry, 3),
    "nasbench201": (nasbench201_entry, 1), "hypercuboid": (hypercuboid_entry, None),
}  # fmt: skip
BENCHMARK = notation.from_arch(
    "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|skip_connect~2|"
)
STEPS = ("sep_conv_3x3:1-2", "max_pool_3x3:2-2", "max_pool_3x3:2-4", "flood_conv_3x3:4-1")
PATH = genotype.Genotype("hypercuboid", {
    "grid": Cell(tuple((i, i + 1, op) for i, op in enumerate(STEPS)), 1, (len(STEPS),))
})  # fmt: skip


def narrowable(found, auxiliary=False):
    """(its widths by `features` alone, the network with its groups)"""
    entry, cells = ENTRIES[found.space]
    space = registry.of_genotype(found)
    named = entry._widths(found, 4, cells, None)

    def network(widths):
        return space.network(
            found, features=4, cells=cells, classes=CLASSES, reductions=None,
            auxiliary=auxiliary, widths=widths,
        )  # fmt: skip

    side = 32 if auxiliary else 16
    images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
    return named, pruning.prunable_network(network, named, images)


def noisy(net, images):
    weights, stats = begun(net, images)
    rng = np.random.default_rng(1)
    noise = lambda leaf: leaf + 0.1 * jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)
    return jax.tree.map(noise, weights), jax.tree.map(lambda leaf: leaf + 0.1, stats)


@pytest.mark.parametrize("found", [SHARP, AMOEBA, BENCHMARK, PATH], ids=lambda g: g.space)
def test_cells_and_paths_without_channels_that_are_zero_compute_the_same(found):
    named, prunable = narrowable(found)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    weights, stats = noisy(prunable.net, images)
    masks = channel_groups.all_channels(prunable.groups)
    for name, group in prunable.groups.items():
        masks[name] = channel_groups.largest_filters(group, masks[name], weights, group.width - 2)
    widths = prunable.remaining(masks)
    assert widths == tuple(width - 2 for width in named.widths)
    macs = pruning.macs_counter(prunable, named, (16, 16, 3))
    for each in (named.widths, widths):
        assert macs(each) == count.macs(prunable.network(each), (16, 16, 3))
    masked = jax.tree.map(
        jnp.multiply, weights, channel_groups.weight_masks(prunable.groups, masks, weights)
    )
    expected = jit(prunable.net.infer)(masked, stats, images)
    cut = channel_groups.cut(prunable.groups, masks, masked, stats)
    less = prunable.network(widths)
    shapes = jax.eval_shape(less.init, jax.random.key(0), images)
    chex.assert_trees_all_equal_shapes(cut, shapes)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(jit(less.infer)(*cut, images), expected, atol=1e-4 * scale)
    assert np.ptp(expected) > 1e-3 * scale
    # What remains has the same groups.
    about = named._replace(widths=widths)
    shape = jax.ShapeDtypeStruct(images.shape, images.dtype)
    again = pruning.prunable_network(prunable.network, about, shape)
    assert sorted(again.groups) == sorted(prunable.groups)


def test_a_pool_that_keeps_its_width_passes_the_same_channels_on():
    named, prunable = narrowable(PATH)
    assert named.names == ("stem", "layer_0", "layer_0", "layer_2", "layer_3")
    assert named.unequal == ((2, 3),)
    masks = channel_groups.all_channels(prunable.groups)
    masks["layer_2"] = np.arange(16) < 8
    assert prunable.remaining(masks) is None  # its convolution would vanish
    masks["layer_2"] = np.arange(16) < 7
    assert prunable.remaining(masks) == (4, 8, 8, 7, 4)


def test_channels_that_are_made_in_halves_stay_in_halves():
    _, prunable = narrowable(AMOEBA, auxiliary=True)
    assert {name for name, group in prunable.groups.items() if group.halved} >= {"cell_1", "cell_2"}
    group = prunable.groups["cell_1"]
    weights, _ = noisy(prunable.net, jnp.zeros((2, 32, 32, 3)))
    assert channel_groups.largest_filters(group, np.ones(8, bool), weights, 5) is None
    mask = channel_groups.largest_filters(group, np.ones(8, bool), weights, 4)
    assert mask[:4].sum() == mask[4:].sum() == 2


class Reversed(nn.Module):
    """Gives every channel the one from the other end."""

    @nn.compact
    def __call__(self, x):
        return x[..., ::-1]


def test_a_tuning_that_diverges_is_said_to_be_one():
    prunable = mobile_pruning.prunable_network(WHOLE, CLASSES)
    wrong = lambda i: batch(i)._replace(inputs=jnp.full_like(batch(i).inputs, jnp.nan))
    with pytest.raises(ValueError, match="diverged"):
        net_adapt.network(
            net_adapt.Pretrained(prunable, *trained()), cost=MACS, budget=0.9 * MACS(WHOLE),
            train=wrong, valid=batch(0), schedule=net_adapt.Schedule(steps=1, first=0.1),
        )  # fmt: skip


def test_a_network_that_mixes_channels_unseen_is_refused():
    cell = Cell(((0, 2, "skip_connect"), (1, 2, "reverse")), 2, (2,))
    found = genotype.Genotype("darts", {"normal": cell, "reduce": cell})
    ops = {"skip_connect": darts_network.ops.skip_connect, "reverse": lambda *_: Reversed()}

    def network(widths):
        return darts_network.cifar(
            found, cells=1, classes=CLASSES, reductions=(), widths=widths, candidates=ops
        )

    images = jax.ShapeDtypeStruct((2, *IMAGE), jnp.float32)
    prunable = pruning.prunable_network(
        network, pruning.NamedWidths((2, 8), ("stem", "cell_0")), images
    )
    cost = lambda widths: count.macs(network(widths), IMAGE)
    state = noisy(prunable.net, batch(0).inputs)
    with pytest.raises(ValueError, match="computes something else"):
        net_adapt.network(
            net_adapt.Pretrained(prunable, *state), cost=cost, budget=0.8 * cost((2, 8)),
            train=batch, valid=batch(0), schedule=net_adapt.Schedule(steps=1, first=0.2),
        )  # fmt: skip


def test_a_narrowed_network_is_read_as_it_was_written():
    found = pruned_file.PrunedNetwork(AMOEBA, (8, 6, 10, 12), 3, None)
    assert pruned_file.from_json(pruned_file.to_json(found), registry.network_of) == found
    net = pruned_file.network(found, registry.network_of, CLASSES)
    weights, _ = jax.eval_shape(net.init, jax.random.key(0), batch(0).inputs)
    assert weights["stem"]["convolution"]["kernel"].shape == (3, 3, 3, 8)
    good = pruned_file.to_json(found)
    for wrong in ("", "[]", "{}", "[" * 100_000, good.replace('"jaxnas_narrowed": 1', '"j": 1'),
                  good.replace("12", "1.5"), good.replace("12", "12, 12"),
                  good.replace("12", "1"), good.replace("12", "true"),
                  good.replace("max_pool_3x3", "mystery")):  # fmt: skip
        with pytest.raises(pruned_file.PrunedFileError) as caught:
            pruned_file.from_json(wrong, registry.network_of)
        assert "\n" not in str(caught.value)


@given(
    st.lists(
        st.tuples(st.integers(1, 15), st.floats(-1, 3)), max_size=6, unique_by=lambda pair: pair[0]
    )
)
@settings(max_examples=60, deadline=None)
def test_a_narrower_part_is_never_said_to_be_slower(found):
    """Whatever the clock said; the whole network takes what it took."""
    table = width_table.from_savings(5.0, {"a": 16, "b": 8}, {"a": found, "b": [(4, 1.0)]})
    ms = [width_table.latency_ms(table, {"a": n, "b": 8}) for n in range(1, 17)]
    assert np.all(np.diff(ms) >= -1e-9) and ms[-1] == 5.0
    assert width_table.latency_ms(table, {"a": 16, "b": 4}) == 4.0
    assert width_table.latency_ms(table, {"a": 16, "b": 6}) == pytest.approx(4.5)
    assert width_table.latency_ms(table, {"a": 16, "b": 1}) == 4.0


def test_a_table_leads_no_further_than_it_knows():
    table = width_table.from_savings(10.0, {"a": 8}, {"a": [(4, 8.0)]})
    assert [width_table.budget(table, share) for share in (0.97, 0.8, 0.2)] == [9.7, 8.0, 7.0]
    assert (
        width_table.budget(width_table.from_savings(10.0, {"a": 8}, {"a": [(4, 2.0)]}), 0.2) == 9.0
    )


def test_the_parts_of_a_network_are_timed():
    table = width_table.measure(mobile_pruning.prunable_network(WHOLE, CLASSES), IMAGE, 4)
    assert set(table.widths) == set(GROUPS) and table.full_ms > 0
    for name, group in GROUPS.items():
        at, saved = table.widths[name], table.saved_ms[name]
        assert at[-1] == group.width and (at[:-1] % 4 == 0).all()
        assert len(at) == len(saved) and saved[-1] == 0 and (np.diff(saved) <= 0).all()
    assert sum(map(len, table.widths.values())) > 1.5 * len(GROUPS)
