"""Mobile spaces by name: their sizes, their entries, and the methods that search them."""

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

NAMES = list(sizing.CHAINS)


def drawn(entry, seed=0):
    random = np.random.default_rng(seed)
    return entry.discretise(
        entry.space, {n: random.random(c.shape) for n, c in entry.space.items()}
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_a_space_depends_on_its_layers_alone(name, repeats):
    spaces = [
        chains.space(sizing.sized(name, features=features, repeats=repeats))
        for features in (None, 4, 8, 12, 16, 32, 64)
    ]
    assert all(space == spaces[0] for space in spaces)
    small = sizing.for_image(sizing.sized(name, repeats=repeats), 8, 8)
    assert chains.space(small) == spaces[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_size_is_the_papers_chain(name):
    chain = sizing.named(name)
    assert sizing.sized(name, features=searches.STEMS[name]) == chain
    assert sizing.sized(name, repeats=4) == chain == sizing.for_image(chain, 224, 224)
    assert set(searches.STEMS) == set(sizing.CHAINS)


@pytest.mark.parametrize(("side", "halvings"), [(8, 1), (28, 2), (32, 3), (64, 4), (224, 5)])
def test_small_images_are_halved_less(side, halvings):
    assert chains.halvings(sizing.for_image(zoo.fbnet(), side, side)) == halvings


@pytest.mark.parametrize("name", NAMES)
def test_a_genotype_says_its_space_and_network(name):
    entry = registry.get(name, 2)
    found = genotype.from_json(genotype.to_json(drawn(entry)))
    again = registry.of_genotype(found)
    assert again.space == entry.space and registry.family_of(found) == "mobile"
    settings = {"features": 8, "cells": None, "classes": 10, "reductions": None}
    net = again.network(found, **settings, auxiliary=False)
    chain = sizing.sized(name, features=8, repeats=2)
    layers = [layer.features for layer in chains.layers(chain)]
    assert layers == sorted(layers) and count.size(net, (32, 32, 3)).macs > 0
    with pytest.raises(ValueError, match="no auxiliary head"):
        again.network(found, **settings, auxiliary=True)
    with pytest.raises(ValueError, match="no reductions"):
        again.network(found, **settings | {"reductions": (1,)}, auxiliary=False)
    with pytest.raises(ValueError, match="its entry decides"):
        again.network(found, **settings | {"cells": 3}, auxiliary=False)


def test_a_genotype_of_no_depth_is_refused():
    whole = drawn(registry.get("mobile-fbnet", 1))
    cell = whole.cells["layers"]
    cut = cell._replace(edges=cell.edges[:-1], concat=(len(cell.edges) - 1,))
    with pytest.raises(GenotypeError, match="damaged"):
        registry.of_genotype(whole._replace(cells={"layers": cut}))


def test_a_supernet_is_as_its_entry_and_its_images_say():
    entry = registry.get("mobile-single-path", 1)
    settings = {"features": 4, "cells": 1, "classes": 3, "reductions": None, "remat": True}
    net = entry.supernet(entry.space, **settings, execute="recomputed")
    images = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
    weights, stats = jax.eval_shape(net.init, jax.random.key(0), images)
    gates = {n: jax.ShapeDtypeStruct(c.shape, jnp.float32) for n, c in entry.space.items()}
    assert jax.eval_shape(net.apply, weights, stats, gates, images)[0].shape == (2, 3)
    with pytest.raises(ValueError, match="no more or fewer"):
        fewer = {"layers": entry.space["layers"]._replace(edges=())}
        entry.supernet(fewer, **settings)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sizing.sized("mobile-fbnet", features=6), "a multiple of 4"),
        (lambda: sizing.sized("mobile-fbnet", repeats=5), "1 to 4 layers"),
        (lambda: sizing.sized("fbnet"), "No mobile space is called 'fbnet'"),
        (
            lambda: searches.resolved(SearchSettings(space="mobile-fbnet", reductions=(1,))),
            "--reductions has no effect",
        ),
        (
            lambda: recipes.resolved(Recipe(cells=2), "mobile", (32, 32, 3)),
            "--cells has no effect on a mobile network",
        ),
        (
            lambda: searches.resolved(SearchSettings(space="mobile-fbnet", features=6)),
            "--features is 6: a mobile stem has a multiple of 4",
        ),
        (lambda: recipes.resolved(Recipe(features=6), "mobile", (32, 32, 3)), "features is 6"),
        (lambda: recipes.resolved(Recipe("paper"), "mobile", (32, 32, 3)), "not for mobile"),
    ],
)
def test_sizes_that_cannot_be_are_refused(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
