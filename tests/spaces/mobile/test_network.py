"""Inverted bottlenecks, stand-alone networks and supernets against their definitions."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.nets import batch_norm, count, inverted_bottleneck, lowering, ops
from jaxnas.spaces.mobile import blocks, superkernel, zoo
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import inherit as mobile_inherit
from jaxnas.spaces.mobile import network as mobile_network
from jaxnas.spaces.mobile import supernet as mobile_supernet
from jaxnas.spaces.mobile.chain import SKIP, Chain, ChainStage, Squeeze
from tests import mobile_toys
from tests.mobile_toys import jit

SIDE = 8
IMAGES = jax.random.normal(jax.random.key(1), (4, SIDE, SIDE, 3))
HARD = ["k3_e3", "k5_e3", "k3_e6", "k5_e6", SKIP]


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def noisy(tree):
    """No weight stays where initialisation put it: biases and scales as well."""
    return jax.tree.map(lambda leaf: np.asarray(leaf) + 0.3 * normal(*leaf.shape), tree)


def positive(stats):
    return jax.tree.map(lambda leaf: np.abs(leaf) + np.float32(0.5), noisy(stats))


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5, 7])
def test_padding_is_that_of_tensorflow_or_of_torch(side, stride, size):
    x, kernel = normal(2, side, side + 1, 4), normal(size, size, 4)
    margin = [(size // 2, size // 2)] * 2

    def both(padding, expected):
        reference = jax.lax.conv_general_dilated(
            x, kernel[:, :, None], (stride, stride), expected,
            dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=4,
        )  # fmt: skip
        return lowering.depthwise(jnp.array(x), jnp.array(kernel), stride, 1, padding), reference

    for found, expected in jit(lambda: (both("same", "SAME"), both("symmetric", margin)))():
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_groups_convolve_apart_and_a_shuffle_mixes_them():
    x = normal(2, 3, 3, 6)
    kernel = normal(2, 3, 2)
    apart = [x[..., 3 * g : 3 * g + 3] @ kernel[g] for g in range(2)]
    found = jit(ops.Pointwise(4, groups=2).apply)({"params": {"kernel": kernel}}, x)
    np.testing.assert_allclose(found, np.concatenate(apart, -1), atol=1e-6)
    shuffled = inverted_bottleneck.channel_shuffle(np.arange(6.0)[None, None, None], 2)
    assert shuffled.ravel().tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("gate", ["sigmoid", "hard_sigmoid"])
def test_squeeze_and_excitation_scales_channels_by_their_means(gate):
    x = normal(2, 3, 3, 6)
    first = {"kernel": normal(6, 2), "bias": normal(2)}
    second = {"kernel": normal(2, 6), "bias": normal(6)}
    inside = np.maximum(np.mean(x, (1, 2)) @ first["kernel"] + first["bias"], 0)
    raw = inside @ second["kernel"] + second["bias"]
    scale = 1 / (1 + np.exp(-raw)) if gate == "sigmoid" else np.clip(raw / 6 + 0.5, 0, 1)
    variables = {"params": {"squeeze": first, "excite": second}}
    found = jit(inverted_bottleneck.SqueezeExcite(2, gate).apply)(variables, x)
    np.testing.assert_allclose(found, x * scale[:, None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("rule", "squeezed"),
    [
        (Squeeze(0.25, "input", "sigmoid", 1), 4),  # MnasNet: a quarter of 16
        (Squeeze(0.25, "hidden", "hard_sigmoid", 8), 16),  # MobileNetV3: of 64
        (Squeeze(0.01, "input", "sigmoid", 1), 1),
    ],
)
def test_squeezing_follows_the_chain(rule, squeezed):
    chain = Chain("one", 16, 1, (ChainStage(("k3_e4_se",), 16, 1, 1),), 8, squeeze=rule)
    layer = chains.layers(chain)[0]
    assert blocks.squeezed_features(layer, chains.block("k3_e4_se"), chain) == squeezed


def test_a_network_trains_with_dropout_and_infers_without():
    chain = mobile_toys.single_path()
    net = mobile_network.network(chain, chains.genotype(chain, ["k3_e3", SKIP]), classes=3)
    weights, stats = jit(net.init)(jax.random.key(0), IMAGES)
    train = jit(lambda key: net.apply(weights, stats, IMAGES, key, None))
    (one, extra), moved = train(jax.random.key(1))
    (two, _), _ = train(jax.random.key(2))
    assert extra is None and not np.allclose(one, two)
    stem = ops.Convolution(4, 3, 1, padding="same")
    mean = jit(lambda w: stem.apply({"params": w}, IMAGES).mean((0, 1, 2)))
    expected = 0.01 * mean(weights["front"]["convolution"])
    np.testing.assert_allclose(moved["front"]["norm"]["mean"], expected, atol=1e-7)
    once, again = (jit(net.infer)(weights, stats, IMAGES) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    with pytest.raises(ValueError, match="drop no paths"):
        net.apply(weights, stats, IMAGES, jax.random.key(1), 0.2)


def test_a_network_refuses_images_below_a_pixel_and_too_few_classes():
    chain = zoo.mobilenet_v2()
    net = mobile_network.network(chain, chains.genotype(chain))
    with pytest.raises(ValueError, match=r"31x32 pixels 5 times.*fewer `halvings`"):
        jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 31, 32, 3)))
    jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)))
    with pytest.raises(ValueError, match="2 classes"):
        mobile_network.network(chain, chains.genotype(chain), classes=1)


@pytest.fixture(scope="module")
def layer():
    """A superkernel layer with weights and statistics that training has moved."""
    chain = mobile_toys.single_path()
    place = chains.layers(chain)[2]

    def make(closing, training=True):
        norm = functools.partial(batch_norm.BatchNorm, affine=True, training=training, epsilon=1e-3)
        return superkernel.SuperBottleneck(place, chain, norm, closing)

    def alone(name, training=True):
        norm = make("features", training).norm
        return blocks.bottleneck(place, name, chain, norm)

    x = normal(4, 6, 6, 4)
    variables = jit(make("features").init)(jax.random.key(0), x, jnp.ones(5))
    return place, make, alone, x, variables


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", HARD)
def test_a_hard_setting_of_a_layer_is_the_block_alone(layer, name, training):
    place, make, alone, x, variables = layer
    weights, stats = noisy(variables["params"]), positive(variables["stats"])
    gates = jnp.eye(5)[place.candidates.index(name)]
    run = lambda module: jit(lambda *a: module.apply(*a, mutable=["stats"])[0])
    found = run(make("features", training))({"params": weights, "stats": stats}, x, gates)
    if name == SKIP:
        np.testing.assert_array_equal(found, x)
        return
    what = chains.block(name)
    cut = {
        kind: mobile_inherit._centre(place, what, tree)
        for kind, tree in (("params", weights), ("stats", stats))
    }
    expected = run(alone(name, training))(cut, x)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_masking_the_kernel_alone_leaves_constants_once_biases_have_moved(layer):
    """As the paper's code does: a skipped layer is the identity at the start of a search only."""
    _, make, _, x, variables = layer
    skip = jnp.eye(5)[4]
    variables_of = lambda weights: {"params": weights, "stats": variables["stats"]}
    run = jit(lambda w: make("kernel").apply(variables_of(w), x, skip, mutable=["stats"])[0])
    np.testing.assert_array_equal(run(variables["params"]), x)
    constant = run(noisy(variables["params"])) - x
    assert float(jnp.abs(constant).min()) > 0
    np.testing.assert_allclose(np.std(constant, (0, 1, 2)), 0, atol=1e-5)


def test_the_kernel_is_the_sum_of_masked_kernels(layer):
    """Equation of the superkernel, with soft indicators (shared facts, 4.2)."""
    place, _, _, x, variables = layer
    kernel = np.asarray(variables["params"]["look"]["kernel"])
    d5, d50, d100 = 0.3, 0.8, 0.6
    shell = np.ones((5, 5, 1))
    shell[1:4, 1:4] = 0
    first = np.arange(kernel.shape[-1]) < round(kernel.shape[-1] / 2)
    inner = kernel * (1 - shell) + d5 * kernel * shell
    expected = d50 * (inner * first + d100 * inner * ~first)
    by_name = {
        "k3_e3": d50 * (1 - d5) * (1 - d100), "k5_e3": d50 * d5 * (1 - d100),
        "k3_e6": d50 * (1 - d5) * d100, "k5_e6": d50 * d5 * d100, SKIP: 1 - d50,
    }  # fmt: skip
    gates = jnp.array([by_name[name] for name in place.candidates])
    wide = normal(1, 6, 6, kernel.shape[-1])
    module = superkernel.SuperKernel(place, mobile_toys.single_path())
    found = jit(module.apply)({"params": {"kernel": kernel}}, wide, gates)
    look = jit(lambda kernel: lowering.depthwise(jnp.array(wide), kernel, 1, 1, "same"))
    np.testing.assert_allclose(found, look(expected.astype(np.float32)), atol=1e-5)


SUPERNETS = {
    "mixed": (mobile_supernet.mixed, mobile_inherit.from_mixed),
    "single path": (mobile_supernet.single_path, mobile_inherit.from_single_path),
}


@pytest.mark.parametrize("kind", SUPERNETS)
def test_one_hot_gates_give_the_network_alone(kind):
    make, cut = SUPERNETS[kind]
    chain = mobile_toys.single_path()._replace(dropout=0.0)
    net = make(chain, classes=3)
    weights, stats = jit(net.init)(jax.random.key(0), IMAGES)
    weights, stats = noisy(weights), positive(stats)

    def both(found):
        """(logits of the supernet, of the network), in training and by running statistics."""
        gates, alone = chains.one_hot(chain, found), mobile_network.network(chain, found, classes=3)
        inherited = cut(chain, found, weights, stats)
        shapes = jax.eval_shape(alone.init, jax.random.key(0), IMAGES)
        chex.assert_trees_all_equal_shapes(inherited, shapes)
        trained = alone.apply(*inherited, IMAGES, jax.random.key(0), None)[0][0]
        yield net.apply(weights, stats, gates, IMAGES)[0], trained
        yield net.infer(weights, stats, gates, IMAGES), alone.infer(*inherited, IMAGES)

    found = [chains.genotype(chain, names) for names in (["k5_e3", SKIP], ["k3_e6", "k5_e3"])]
    for logits, expected in jit(lambda: [pair for f in found for pair in both(f)])():
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def one_at_a_time(runs, weights, gates, stats, x):
    return jax.lax.switch(jnp.argmax(gates), runs, weights, stats, x)


@pytest.fixture(scope="module")
def mixtures():
    """(logits, statistics, gradients to weights and gates) of three ways to compute a mixture."""
    chain = mobile_toys.one_layer("k3_e2", "k5_e2")
    make = functools.partial(mobile_supernet.mixed, chain, classes=3)
    ways = {"all": make(), "kept": make(remat=False), "one": make(mixture=one_at_a_time)}
    weights, stats = jit(ways["all"].init)(jax.random.key(0), IMAGES)
    gates = chains.one_hot(chain, chains.genotype(chain, ["k5_e2"]))

    def facts(net):
        def loss(w, g):
            logits, moved = net.apply(w, stats, g, IMAGES)
            return jnp.sum(logits**2), (logits, moved)

        (_, aux), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(weights, gates)
        return *aux, grads

    return stats, jit(lambda: {name: facts(net) for name, net in ways.items()})()


def test_a_mixture_may_compute_one_candidate_and_moves_its_statistics_alone(mixtures):
    stats, found = mixtures
    (expected, moved, _), (logits, after, grads) = found["all"], found["one"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    chex.assert_trees_all_close(after["layer_0"]["k5_e2"], moved["layer_0"]["k5_e2"], atol=1e-6)
    chex.assert_trees_all_equal(after["layer_0"]["k3_e2"], stats["layer_0"]["k3_e2"])
    layer = grads[0]["layer_0"]
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(layer["k3_e2"]))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(layer["k5_e2"]["look"]))


def test_rematerialisation_changes_no_value(mixtures):
    chex.assert_trees_all_close(mixtures[1]["all"], mixtures[1]["kept"], rtol=1e-3, atol=1e-4)
    assert np.all(mixtures[1]["all"][2][1]["layers"] != 0)


def test_a_mixed_supernet_counts_every_candidate_once():
    chain, image = mobile_toys.one_layer("k3_e3", "k5_e2"), (SIDE, SIDE, 3)
    network = lambda name: mobile_network.network(chain, chains.genotype(chain, [name]), classes=3)
    alone = {name: count.macs(network(name), image) for name in ("k3_e3", "k5_e2", SKIP)}
    found = count.macs(mobile_supernet.mixed(chain, classes=3), image)
    assert found == alone["k3_e3"] + alone["k5_e2"] - alone[SKIP]


def test_supernets_refuse_what_they_cannot_hold():
    with pytest.raises(ValueError, match="'k3_e1' out of one kernel"):
        mobile_supernet.single_path(zoo.fbnet())
    with pytest.raises(ValueError, match="'kernel' or the 'features', not 'all'"):
        mobile_supernet.single_path(mobile_toys.single_path(), closing="all")
    with pytest.raises(ValueError, match="leaves no choice"):
        mobile_supernet.mixed(zoo.mobilenet_v2())
    net = mobile_supernet.mixed(mobile_toys.single_path())
    with pytest.raises(ValueError, match="1x1 pixels 1 times"):
        jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 1, 1, 3)))
