"""NetAdapt: every step cheaper, zeros that compute what a narrower network does."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas import mobile, mobile_named, net_adapt
from jaxnas.mobile import SKIP, Chain, Stage
from jaxnas.nets import count
from jaxnas.nets import mobile as networks
from jaxnas.nets import mobile_narrow as narrow
from jaxnas.types import Batch
from tests.mobile_toys import jit

IMAGE = (8, 8, 3)
SEARCHED = ("k3_e3", "k5_e3", SKIP)
CHAIN = Chain(
    "tiny",
    8,
    1,
    (Stage(("k3_e1",), 4, 1, 1), Stage(SEARCHED, 8, 3, 2), Stage(SEARCHED, 12, 1, 1)),
    24,
)
GENOTYPE = mobile.genotype(CHAIN, ["k3_e3", "k5_e3", SKIP, "k3_e3"])
WHOLE = narrow.fixed(CHAIN, GENOTYPE)
KNOWN = narrow.parts(WHOLE)
CLASSES = 3
MACS = lambda chain: narrow.macs(chain, IMAGE, CLASSES)


def network(chain):
    return networks.network(chain, mobile.genotype(chain), classes=CLASSES)


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
        narrow.fixed(mobile_named.single_path(), mobile_named.spnasnet()),
        narrow.fixed(*mobile_named.proxyless_mobile()),
    ],
    ids=["small", "spnasnet", "proxyless"],
)
def test_a_fixed_chain_counts_as_its_network_does(chain):
    image = IMAGE if chain is WHOLE else (224, 224, 3)
    net = networks.network(chain, mobile.genotype(chain), classes=CLASSES)
    assert narrow.macs(chain, image, CLASSES) == count.macs(net, image)


def test_zeros_compute_what_the_narrower_network_does():
    weights, stats = trained()
    kept = narrow.everything(KNOWN)
    for part, width in (("hidden_1", 7), ("features_2", 5), ("head", 20), ("features_0", 6)):
        kept[part] = narrow.strongest(KNOWN[part], kept[part], weights, width)
    chain = narrow.chain_of(WHOLE, kept)
    masked = jax.tree.map(jnp.multiply, weights, narrow.masks(KNOWN, kept, weights))
    expected = jit(network(WHOLE).infer)(masked, stats, batch(0).inputs)
    less, fewer = narrow.cut(KNOWN, kept, masked, stats)
    net = network(chain)
    shapes = jax.eval_shape(net.init, jax.random.key(0), batch(0).inputs)
    chex.assert_trees_all_equal_shapes((less, fewer), shapes)
    found = jit(net.infer)(less, fewer, batch(0).inputs)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(found) > 0.01
    assert MACS(chain) < MACS(WHOLE)


def test_the_weakest_channels_go():
    part = narrow.Part(4, (("a",), ("b",)), ())
    weights = {"a": np.array([[1.0, 5.0, 2.0, 0.1]]), "b": np.array([[3.0, 0.0, 0.0, 0.1]])}
    left = narrow.strongest(part, np.ones(4, bool), weights, 2)
    assert left.tolist() == [True, True, False, False]
    left = narrow.strongest(part, np.array([False, True, True, True]), weights, 2)
    assert left.tolist() == [False, True, True, False]


def test_widths_that_would_change_the_network_are_not_proposed():
    """As many channels inside as enter would have no first convolution; two stages of equal
    features would be added."""
    kept = narrow.everything(KNOWN)
    entering = int(kept["features_1"].sum())
    kept["hidden_1"] = np.arange(len(kept["hidden_1"])) < entering
    assert narrow.chain_of(WHOLE, kept) is None
    kept = narrow.everything(KNOWN)
    last = sorted((p for p in kept if p.startswith("features")), key=lambda p: len(kept[p]))[-1]
    before = mobile.layers(WHOLE)[-1].inputs
    kept[last] = np.arange(len(kept[last])) < before
    assert narrow.chain_of(WHOLE, kept) is None


def test_a_network_is_narrowed_into_its_budget_and_every_step_is_cheaper():
    budget = 0.85 * MACS(WHOLE)
    fitted = net_adapt.mobile_network(
        CHAIN, GENOTYPE, *trained(), classes=CLASSES, cost=MACS, budget=budget,
        train=batch, valid=batch(0), steps=1, first=0.08,
    )  # fmt: skip
    costs = [MACS(WHOLE), *(step.cost for step in fitted.steps)]
    assert all(after < before for before, after in zip(costs, costs[1:], strict=False))
    assert costs[-1] <= budget < costs[-2]
    assert MACS(fitted.chain) == costs[-1] == count.macs(network(fitted.chain), IMAGE)
    logits = jit(network(fitted.chain).infer)(fitted.weights, fitted.stats, batch(0).inputs)
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


def test_networks_whose_channels_do_not_go_alone_are_refused():
    with pytest.raises(ValueError, match="not chosen yet"):
        narrow.parts(mobile_named.single_path())
    with pytest.raises(ValueError, match="groups or squeezes"):
        narrow.parts(narrow.fixed(*mobile_named.fbnet_a()))


def test_widths_are_multiples():
    net, steps = net_adapt.adapt({"a": 90, "b": 10}, toy(), 150.0, first=0.1, multiple=8)
    assert all(step.width % 8 == 0 for step in steps) and net["b"] == 10
    with pytest.raises(ValueError, match="multiple >= 1"):
        net_adapt.adapt({"a": 90, "b": 10}, toy(), 150.0, multiple=0)
