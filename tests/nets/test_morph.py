"""Growth preserves the function: outputs before and after every transform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.nets import morph, plain_chain
from jaxnas.nets.plain_chain import PlainLayer

LAYERS = (PlainLayer(3), PlainLayer(4, 3, pooled=True), PlainLayer(5, 1))
TRAINED = {"scale": (0.5, 1.5), "bias": (-0.5, 0.5), "mean": (-0.5, 0.5), "var": (0.5, 2.0)}
IMAGES = np.random.default_rng(1).normal(size=(6, 8, 8, 2)).astype(np.float32)


def trained():
    """A chain with weights and statistics as training leaves them: none is 0 or 1."""
    net, random = plain_chain.plain_chain(LAYERS, 4), np.random.default_rng(0)
    shapes = jax.eval_shape(net.init, jax.eval_shape(lambda: jax.random.key(0)), IMAGES)

    def draw(path, leaf):
        low, high = TRAINED.get(path[-1].key, (-0.5, 0.5))
        return jnp.asarray(random.uniform(low, high, leaf.shape), jnp.float32)

    return morph.Grown(LAYERS, *jax.tree_util.tree_map_with_path(draw, shapes))


def logits(net):
    made = plain_chain.plain_chain(net.layers, 4)
    return made.infer(net.weights, net.stats, IMAGES)


def in_training(net):
    made = plain_chain.plain_chain(net.layers, 4)
    return made.apply(net.weights, net.stats, IMAGES, jax.random.key(0), 0.0)[0][0]


def deviation(new, old):
    return float(jnp.abs(new - old).max() / jnp.abs(old).max())


@pytest.mark.parametrize("layer", range(3))
def test_a_wider_layer_changes_no_output(layer):
    net = trained()
    wider = morph.widen(net, layer, 9, np.random.default_rng(2))
    assert wider.layers[layer].features == 9
    assert deviation(logits(wider), logits(net)) < 1e-5
    assert deviation(in_training(wider), in_training(net)) < 1e-5


@pytest.mark.parametrize(("after", "kernel"), [(0, 1), (1, 3), (2, 5)])
def test_an_added_layer_changes_no_output(after, kernel):
    net = trained()
    deeper = morph.deepen(net, after, kernel, IMAGES)
    assert deeper.layers[after + 1] == PlainLayer(net.layers[after].features, kernel)
    assert deviation(logits(deeper), logits(net)) < 1e-5


def test_transforms_compose():
    net, random = trained(), np.random.default_rng(3)
    grown = morph.deepen(morph.widen(net, 1, 6, random), 1, 3, IMAGES)
    grown = morph.widen(grown, 2, 11, random)
    assert [layer.features for layer in grown.layers] == [3, 6, 11, 5]
    assert deviation(logits(grown), logits(net)) < 1e-5
    made = plain_chain.plain_chain(grown.layers, 4)
    shapes = jax.eval_shape(made.init, jax.random.key(0), IMAGES)
    same = jax.tree.map(lambda a, b: a.shape == b.shape, (grown.weights, grown.stats), shapes)
    assert all(jax.tree.leaves(same))


def test_what_cannot_grow_is_refused():
    net = trained()
    with pytest.raises(ValueError, match="has 3 channels: it cannot grow to 2"):
        morph.widen(net, 0, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="Layer 3 is none of the chain's 0 to 2"):
        morph.widen(net, 3, 9, np.random.default_rng(0))
    with pytest.raises(ValueError, match="kernel of 4 has no middle"):
        morph.deepen(net, 0, 4, IMAGES)
