"""Mobile spaces by name: their sizes, their entries, and the methods that search them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.objectives import constraints
from jaxnas.methods import entry as methods_entry
from jaxnas.methods import selection
from jaxnas.nets import count
from jaxnas.pipelines.settings import Recipe, SearchSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings import search as searches
from jaxnas.spaces import genotype, registry
from jaxnas.spaces.genotype import GenotypeError
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import sizing, zoo
from tests import drive

NAMES = list(sizing.CHAINS)
SHORT = {
    "proxyless": ["warm_up=1"],
    "proxyless-reinforce": ["warm_up=1", "samples=2"],
    "fbnet": ["warm_up=1", "samples=3"],
}


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


def made(name, words=(), family="mobile", space="mobile-proxyless"):
    entry = registry.get(space, 1)
    settings = selection.resolved(name, "quick", {"epochs": 2}, list(words))
    return entry, selection.make(
        name, methods_entry.Context(entry, family, drive.STEPS_PER_EPOCH, 0), settings
    )


@pytest.mark.parametrize("name", SHORT)
def test_methods_run_to_a_genotype(name):
    entry, program = made(name, SHORT[name], space="mobile-single-path")
    ran = drive.run(program, lambda space, **net: drive.dense(space, features=2))
    found = entry.discretise(ran.found.space, ran.found.gates)
    assert sizing.of_genotype(found) == ("mobile-single-path", 1)


@pytest.mark.parametrize(
    ("name", "words", "reason"),
    [
        ("pc-darts", (), "pc-darts searches spaces of the families darts, nasbench201, not mobile"),
        ("proxyless", ("mode=three",), "has the modes full, full_v2"),
        ("single-path", (), "needs a table of latencies"),
        ("single-path", ("table=nowhere.csv",), "Cannot read the table of latencies nowhere.csv"),
        ("fbnet", ("samples=0",), "samples >= 1"),
    ],
)
def test_methods_refuse_what_cannot_be(name, words, reason):
    with pytest.raises(ValueError, match=reason):
        made(name, words)


def test_methods_of_mobile_spaces_refuse_cells():
    with pytest.raises(ValueError, match="families mobile, not darts"):
        made("proxyless", family="darts", space="darts")


def test_a_table_of_layers_is_not_added_to_the_rest_of_another_device(tmp_path):
    path = tmp_path / "lut.csv"
    rows = [f"{layer},{choice},{1 + choice}" for layer in range(6) for choice in range(4)]
    path.write_text("\n".join(["layer,choice,latency_ms", *rows, ""]))
    words, space = (f"table={path}",), "mobile-single-path"
    with pytest.raises(ValueError, match="the rest of the network, fixed_ms=19.59"):
        made("single-path", words, space=space)
    _, program = made("single-path", (*words, "fixed_ms=3"), space=space)
    assert next(program).epochs == 2


def test_single_path_is_held_to_a_target_in_the_place_of_a_table():
    entry = registry.get("mobile-single-path", 1)
    limit = constraints.Limit("ms", 1.0, lambda gates: gates["layers"].sum())
    about = methods_entry.Context(
        entry, "mobile", drive.STEPS_PER_EPOCH, 0, penalty=constraints.penalty([limit])
    )
    settings = selection.resolved("single-path", "quick", {"epochs": 2}, [])
    assert next(selection.make("single-path", about, settings)).epochs == 2
    for name, value in (("table", "pixel.csv"), ("fixed_ms", 3.0), ("latency_weight", 0.1)):
        with pytest.raises(ValueError, match=f"{name} has no effect beside a target"):
            selection.make("single-path", about, settings | {name: value})
