"""`jaxnas narrow` on real images: a smaller network, its file, and what is refused."""

import dataclasses
import io
import json
import shlex
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console

from experiments import net_adapt as net_adapt_study
from jaxnas import run
from jaxnas.hardware import timing, width_table
from jaxnas.nets import count
from jaxnas.pipelines import narrow, narrow_state, setup
from jaxnas.pipelines.narrow_state import NarrowingState, Trained
from jaxnas.pipelines.settings import DataSettings, Recipe, RunSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces import pruned_file, registry
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import sizing, zoo
from jaxnas.strategies import net_adapt

CHAIN = sizing.sized(zoo.proxyless(), "mobile-proxyless", features=8, repeats=1)
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
IMAGE = (8, 8, 1)


def write_genotype(folder, genotype):
    path = folder / "genotype.json"
    path.write_text(genotypes.to_json(genotype))
    return path


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The cheapest network of a mobile space."""
    searched = [layer for layer in chains.layers(CHAIN) if len(layer.candidates) > 1]
    names = [
        "skip_connect" if "skip_connect" in layer.candidates else "k3_e3" for layer in searched
    ]
    return write_genotype(tmp_path_factory.mktemp("chain"), chains.genotype(CHAIN, names))


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    return write_genotype(tmp_path_factory.mktemp("cell"), registry.parse_genotype(CELL))


@pytest.fixture(autouse=True)
def one_cache(monkeypatch):
    """Compiled programs go where the other tests have theirs."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)


def narrowed(settings):
    """(the folder, what was printed) of a run."""
    console = rich.console.Console(file=io.StringIO(), width=200)
    folder = narrow.main(settings, console)
    return folder, console.file.getvalue()


def small(path, out, name, **changes):
    """Settings of a run of seconds."""
    return NarrowSettings(
        str(path),
        source=DataSettings(limit=300),
        recipe=Recipe(epochs=1, features=4, cells=1),
        short_steps=1,
        first=0.3,
        multiple=2,
        place=RunSettings(out=str(out), name=name),
        **changes,
    )


def prunable_of(path, features):
    genotype = genotypes.from_json(path.read_text())
    space = registry.of_genotype(genotype)
    recipe = recipes.resolved(Recipe(features=features), space, IMAGE)
    return space.prunable(genotype, recipe, IMAGE, 10)


@pytest.mark.parametrize(
    ("budget", "tuned", "holds"),
    [
        ({"target_ms": 1.0}, {"latency_ms": 1.04}, True),
        ({"target_ms": 1.0}, {"latency_ms": 1.06}, False),
        ({"macs": 100}, {"macs": 100}, True),
        ({"macs": 100}, {"macs": 101}, False),
    ],
)
def test_what_is_left_is_judged_after_the_tuning(budget, tuned, holds):
    summary = {"tuned": tuned} | narrow.verdict(NarrowSettings("x", **budget), tuned)
    assert summary["target"]["holds"] == holds
    line = narrow.verdict_line(summary)
    assert ("it holds" in line, "DOES NOT HOLD" in line) == (holds, not holds)


def test_a_narrowing_goes_on_after_the_last_budget(chain, tmp_path):
    """What was saved before it was done is taken up, and its weights with it."""
    dataset = setup.load(DataSettings(limit=300), 0.8)
    prunable = prunable_of(chain, 8)
    weights, stats = jax.jit(prunable.network(prunable.unpruned).init)(
        jax.random.key(0), jnp.zeros((1, *IMAGE))
    )
    steps = [net_adapt.Step("head", 8, 5.0, 0.5)]
    state = NarrowingState(Trained(prunable.unpruned, weights, stats), steps, False)
    assert narrow_state.load(tmp_path, prunable, dataset) is None
    for done in (False, True):
        narrow_state.save(tmp_path, prunable, state._replace(done=done))
        loaded = narrow_state.load(tmp_path, prunable, dataset)
        assert (loaded.done, loaded.steps) == (done, steps)
        assert loaded.trained.remaining == prunable.unpruned
        chex.assert_trees_all_equal(loaded.trained[1:], (weights, stats))
        assert (tmp_path / "chain.json").exists() == done
    (tmp_path / "steps.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged narrowing"):
        narrow_state.load(tmp_path, prunable, dataset)


def test_narrows_trains_and_goes_on_where_it_was(cell, tmp_path):
    settings = small(cell, tmp_path, "n", macs=50000)
    folder, out = narrowed(settings)
    assert folder == tmp_path / "n"
    assert "held-out images" in out and "narrow.md" in out
    assert "target: 50,000 MACs" in out and "it holds" in out
    summary = json.loads((folder / "summary.json").read_text())
    assert shlex.split(summary["command"])[:3] == ["jaxnas", "narrow", str(cell)]
    assert f"report: {folder / 'narrow.md'}" in out
    text = (folder / "narrowed.json").read_text()
    pruned = pruned_file.from_json(text, registry.network_of)
    assert genotypes.to_json(pruned.genotype) == cell.read_text()
    macs = count.macs(pruned_file.network(pruned, registry.network_of, 10), IMAGE)
    assert macs == summary["tuned"]["macs"] <= 50000 < summary["whole"]["macs"]
    assert summary["tuned"]["parameters"] < summary["whole"]["parameters"]
    costs = [summary["whole"]["macs"], *(step["cost"] for step in summary["steps"])]
    assert all(after < before for before, after in zip(costs, costs[1:], strict=False))
    assert {"narrow.md", "steps.svg", "steps.png"} <= {path.name for path in folder.iterdir()}
    # Stopped while the narrowed network was tuned: it goes on with that one.
    shutil.rmtree(folder / "tuned")
    (folder / "summary.json").unlink()
    _, out = narrowed(settings)
    assert "held-out images" not in out
    again = json.loads((folder / "summary.json").read_text())
    for record in (summary, again):
        del record["tuned"]["latency_ms"]
    assert again == summary
    assert summary["target"] == {"macs": 50000, "holds": True}
    with pytest.raises(run.RunError, match="epochs"):
        narrowed(dataclasses.replace(settings, tune_epochs=2))


def test_a_target_in_milliseconds_is_gone_to_by_tables(cell, tmp_path, monkeypatch):
    """On a device whose time is 0.1 ms and MACs, so that nothing depends on this one's quiet."""
    takes = lambda net: 0.1 + count.macs(net, IMAGE) / 1e5

    def measured(subject, image, multiple):
        saved = {name: [] for name in subject.groups}
        for name, width, remaining in width_table._narrower(subject, multiple):
            saved[name].append((width, takes(subject.net) - takes(subject.network(remaining))))
        widths = {name: group.width for name, group in subject.groups.items()}
        return width_table.from_savings(takes(subject.net), widths, saved)

    monkeypatch.setattr(width_table, "MAX_PROGRAMS", 6)
    monkeypatch.setattr(width_table, "measure", measured)
    timed = lambda net, *_: timing.Milliseconds(takes(net), 0, 0, 1)
    monkeypatch.setattr(timing, "inference", timed)
    folder, out = narrowed(small(cell, tmp_path, "n", target_ms=0.3))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["whole"]["latency_ms"] > 0.6
    assert summary["tuned"]["latency_ms"] <= 0.3 and summary["target"]["holds"]
    # Each budget is 0.7 of the last milliseconds at least, and each of its steps is cheaper.
    assert out.count("on this device") >= 2 and "ms predicted" in out
    costs = [step["cost"] for step in summary["steps"]]
    rises = sum(after >= before for before, after in zip(costs, costs[1:], strict=False))
    assert rises <= out.count("on this device") - 1
    with pytest.raises(ValueError, match="at least"):
        narrowed(small(cell, tmp_path, "m", target_ms=0.01))
    assert not (tmp_path / "m").exists()


def test_a_uniform_cut_has_the_shapes_of_the_narrower_network(chain, cell, tmp_path):
    """Of a mobile network and of a cell: what NetAdapt is compared with."""
    for path in (chain, cell):
        settings = net_adapt_study.Settings(
            str(path), limit=300, features=16, cut_features=12, epochs=1, tune_epochs=1
        )
        pair = net_adapt_study._resolve(settings, tmp_path, 0)
        of_whole, of_small = (
            jax.eval_shape(
                prunable.network(prunable.unpruned).init, jax.random.key(0), jnp.zeros((1, *IMAGE))
            )
            for prunable in map(net_adapt_study._prunable, (pair.whole, pair.small))
        )
        drawn = jax.tree.map(
            lambda leaf: np.random.default_rng(0).normal(size=leaf.shape), of_whole
        )
        chex.assert_trees_all_equal_shapes(net_adapt_study._cut(pair, drawn), of_small)


def test_a_space_of_ones_own_is_refused(tmp_path):
    genotype = registry.published()["DARTS_V2"]._replace(space="mine")
    with pytest.raises(ValueError, match="from Python alone"):
        narrowed(NarrowSettings(str(write_genotype(tmp_path, genotype)), macs=5))


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({}, "--macs or --target-ms"),
        ({"macs": 5, "target_ms": 1.0}, "one of them"),
        ({"macs": 0}, "--macs"),
        ({"macs": 10**9}, "but the network has"),
        ({"target_ms": -1.0}, "--target-ms"),
        ({"macs": 5, "held_out": 1.0}, "--held-out"),
        ({"macs": 5, "decay": 1.5}, "--decay"),
        ({"macs": 5, "recipe": Recipe(ema=0.9)}, "--ema"),
        ({"macs": 100}, "in multiples of 4 leave"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_trained(
    chain, tmp_path, settings, cause
):
    place = RunSettings(out=str(tmp_path))
    with pytest.raises(ValueError, match=cause) as refusal:
        narrowed(NarrowSettings(str(chain), place=place, **settings))
    assert "\n" not in str(refusal.value) and not list(tmp_path.iterdir())


def test_a_cell_is_not_narrowed_below_its_multiples():
    recipe = Recipe(cells=1, reductions=(0,))
    with pytest.raises(ValueError, match="in multiples of 4 leave"):
        narrowed(NarrowSettings("DARTS_V2", macs=100, recipe=recipe))


def test_channels_in_halves_want_an_even_multiple():
    with pytest.raises(ValueError, match="two halves") as refusal:
        narrowed(NarrowSettings("DARTS_V2", macs=5, multiple=3))
    assert "\n" not in str(refusal.value)
