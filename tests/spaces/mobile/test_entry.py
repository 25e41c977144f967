"""Mobile spaces by name: their sizes, their entries, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.nets import count
from jaxnas.pipelines.settings import Recipe, SearchSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import search as searches
from jaxnas.spaces import genotype, registry
from jaxnas.spaces.genotype import GenotypeError
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import sizing, zoo

CHAINS = {
    "mobile-proxyless": zoo.proxyless,
    "mobile-fbnet": zoo.fbnet,
    "mobile-single-path": zoo.single_path,
}
FBNET = registry.get("mobile-fbnet")


def sized(name, **size):
    return sizing.sized(CHAINS[name](), name, **size)


def drawn(space, seed=0):
    random = np.random.default_rng(seed)
    return space.discretise(
        space.choices, {n: random.random(c.shape) for n, c in space.choices.items()}
    )


def test_there_is_an_entry_of_every_chain():
    assert {name for name in registry.SPACES if name.startswith("mobile")} == set(CHAINS)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_a_space_depends_on_its_layers_alone(name, repeats):
    choices = registry.get(name, repeats).choices
    for features in (None, 4, 8, 12, 16, 32, 64):
        assert chains.space(sized(name, features=features, repeats=repeats)) == choices
    small = sizing.for_image(sized(name, repeats=repeats), 8, 8)
    assert chains.space(small) == choices


@pytest.mark.parametrize("name", CHAINS)
def test_the_papers_size_is_the_papers_chain(name):
    chain, space = CHAINS[name](), registry.get(name)
    size = space.sizes["paper"].search
    assert sized(name, features=size["features"]) == chain
    assert sized(name, repeats=size["cells"]) == chain == sizing.for_image(chain, 224, 224)
    assert size["cells"] == 4 and registry.get(name, 4).choices == space.choices


@pytest.mark.parametrize(("side", "halvings"), [(8, 1), (28, 2), (32, 3), (64, 4), (224, 5)])
def test_small_images_are_halved_less(side, halvings):
    assert chains.halvings(sizing.for_image(zoo.fbnet(), side, side)) == halvings


@pytest.mark.parametrize("name", CHAINS)
def test_a_genotype_says_its_space_and_network(name):
    space = registry.get(name, 2)
    found = genotype.from_json(genotype.to_json(drawn(space)))
    same = registry.of_genotype(found)
    assert (same.name, same.cells, same.choices) == (name, 2, space.choices)
    settings = {"features": 8, "cells": None, "classes": 10, "reductions": None}
    net = same.network(found, **settings, auxiliary=False)
    layers = [layer.features for layer in chains.layers(sized(name, features=8, repeats=2))]
    assert layers == sorted(layers) and count.size(net, (32, 32, 3)).macs > 0
    with pytest.raises(ValueError, match="no auxiliary head"):
        same.network(found, **settings, auxiliary=True)
    with pytest.raises(ValueError, match="no reductions"):
        same.network(found, **settings | {"reductions": (1,)}, auxiliary=False)
    with pytest.raises(ValueError, match="its entry decides"):
        same.network(found, **settings | {"cells": 3}, auxiliary=False)


def test_a_genotype_of_no_depth_is_refused():
    whole = drawn(registry.get("mobile-fbnet", 1))
    cell = whole.cells["layers"]
    cut = cell._replace(edges=cell.edges[:-1], concat=(len(cell.edges) - 1,))
    with pytest.raises(GenotypeError, match="damaged"):
        registry.of_genotype(whole._replace(cells={"layers": cut}))


def test_a_supernet_is_as_its_entry_and_its_images_say():
    space = registry.get("mobile-single-path", 1)
    settings = {"features": 4, "cells": 1, "classes": 3, "reductions": None, "remat": True}
    net = space.supernet(space.choices, **settings, execute="recomputed")
    images = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
    weights, stats = jax.eval_shape(net.init, jax.random.key(0), images)
    gates = {n: jax.ShapeDtypeStruct(c.shape, jnp.float32) for n, c in space.choices.items()}
    assert jax.eval_shape(net.apply, weights, stats, gates, images)[0].shape == (2, 3)
    with pytest.raises(ValueError, match="no more or fewer"):
        fewer = {"layers": space.choices["layers"]._replace(edges=())}
        space.supernet(fewer, **settings)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sized("mobile-fbnet", features=6), "a multiple of 4"),
        (lambda: sized("mobile-fbnet", repeats=5), "1 to 4 layers"),
        (lambda: registry.get("fbnet"), "No space is called 'fbnet'"),
        (
            lambda: searches.resolved(SearchSettings(space="mobile-fbnet", reductions=(1,)), FBNET),
            "--reductions has no effect",
        ),
        (
            lambda: recipes.resolved(Recipe(cells=2), FBNET, (32, 32, 3)),
            "--cells has no effect on a mobile network",
        ),
        (
            lambda: searches.resolved(SearchSettings(space="mobile-fbnet", features=6), FBNET),
            "--features is 6: the stem of a mobile network has a multiple of 4",
        ),
        (lambda: recipes.resolved(Recipe(features=6), FBNET, (32, 32, 3)), "features is 6"),
        (
            lambda: recipes.resolved(Recipe("paper"), FBNET, (32, 32, 3)),
            "paper has no sizes for a mobile network",
        ),
    ],
)
def test_sizes_that_cannot_be_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
