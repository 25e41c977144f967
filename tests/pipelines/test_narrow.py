"""`jaxnas narrow` on real images: a smaller network, its file, and what is refused."""

import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import net_adapt as net_adapt_study
from jaxnas.cli import main
from jaxnas.evaluators.nasbench201 import isomorphism as oracle
from jaxnas.hardware import timing, width_table
from jaxnas.nets import count
from jaxnas.pipelines import narrow, narrow_state, setup
from jaxnas.pipelines.settings import DataSettings, Recipe
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.pipelines.settings.narrow import NarrowSettings
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces import pruned_file
from jaxnas.spaces.darts import genotypes as published
from jaxnas.spaces.mobile import chain as chains
from jaxnas.spaces.mobile import chain_file, sizing, zoo
from jaxnas.spaces.mobile.chain_file import ChainError
from jaxnas.strategies import net_adapt

CHAIN = sizing.sized("mobile-proxyless", features=8, repeats=1)
SETTINGS = [
    *("--epochs", "1", "--features", "8", "--limit", "300", "--seed", "1"),
    *("--short-steps", "1", "--first", "0.3"),
]


@pytest.fixture(scope="module")
def genotype(tmp_path_factory):
    """The cheapest network of the space."""
    open_ = [layer for layer in chains.layers(CHAIN) if len(layer.candidates) > 1]
    names = ["skip_connect" if "skip_connect" in layer.candidates else "k3_e3" for layer in open_]
    path = tmp_path_factory.mktemp("genotype") / "genotype.json"
    path.write_text(genotypes.to_json(chains.genotype(CHAIN, names)))
    return path


@pytest.mark.parametrize(
    ("asked", "tuned", "holds"),
    [
        ({"target_ms": 1.0}, {"latency_ms": 1.04}, True),
        ({"target_ms": 1.0}, {"latency_ms": 1.06}, False),
        ({"macs": 100}, {"macs": 100}, True),
        ({"macs": 100}, {"macs": 101}, False),
    ],
)
def test_what_is_left_is_judged_after_the_tuning(asked, tuned, holds):
    summary = {"tuned": tuned} | narrow.verdict(NarrowSettings("x", **asked), tuned)
    assert summary["target"]["holds"] == holds
    line = narrow.said(summary)
    assert ("it holds" in line, "DOES NOT HOLD" in line) == (holds, not holds)


def test_a_narrowing_goes_on_after_the_last_budget(genotype, tmp_path):
    """What was kept before it was done is taken up, and its weights with it."""
    settings = NarrowSettings(
        str(genotype), recipe=Recipe(features=8), source=DataSettings(limit=300)
    )
    found = setup.load(settings.source, 0.8)
    recipe = recipes.resolved(settings.recipe, "mobile", (8, 8, 1))
    kind = narrow_state.kind_of(genotypes.from_json(genotype.read_text()), recipe, found)
    weights, stats = jax.jit(kind.network(kind.whole).init)(
        jax.random.key(0), jnp.zeros((1, 8, 8, 1))
    )
    steps = [net_adapt.Step("head", 8, 5.0, 0.5)]
    at = narrow_state.Kept(narrow_state.Trained(kind.whole, weights, stats), steps, False)
    assert narrow_state.kept(tmp_path, kind, found) is None
    for done in (False, True):
        narrow_state.keep(tmp_path, kind, at._replace(done=done))
        again = narrow_state.kept(tmp_path, kind, found)
        assert (again.done, again.steps, again.trained.left) == (done, steps, kind.whole)
        chex.assert_trees_all_equal(again.trained[1:], (weights, stats))
        assert (tmp_path / "chain.json").exists() == done
    (tmp_path / "steps.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged narrowing"):
        narrow_state.kept(tmp_path, kind, found)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ((), "--macs or --target-ms"),
        (("--macs", "5", "--target-ms", "1"), "one of them"),
        (("--macs", "0"), "--macs"),
        (("--macs", "1000000000"), "but the network has"),
        (("--target-ms", "-1"), "--target-ms"),
        (("--macs", "5", "--held-out", "1"), "--held-out"),
        (("--macs", "5", "--decay", "1.5"), "--decay"),
        (("--macs", "5", "--ema", "0.9"), "--ema"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(genotype, words, cause, capsys):
    assert main(["narrow", str(genotype), *words]) == 2
    error = capsys.readouterr().err
    assert cause in error and error.count("\n") == 1


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    found = oracle.to_genotype(oracle.from_arch(
        "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    ))  # fmt: skip
    path = tmp_path_factory.mktemp("cell") / "genotype.json"
    path.write_text(genotypes.to_json(found))
    return path


FEW = [
    *("--epochs", "1", "--features", "4", "--cells", "1", "--limit", "300"),
    *("--short-steps", "1", "--first", "0.3", "--multiple", "2"),
]


def test_narrows_trains_and_goes_on_where_it_was(cell, tmp_path, capsys):
    words = ["narrow", str(cell), "--macs", "50000", "--out", str(tmp_path), "--name", "n"]
    assert main([*words, *FEW]) == 0, capsys.readouterr().err
    said, folder = capsys.readouterr().out, tmp_path / "n"
    assert "held-out images" in said and "narrow.md" in said
    assert "target: 50,000 MACs" in said and "it holds" in said
    summary = json.loads((folder / "summary.json").read_text())
    found = pruned_file.from_json((folder / "narrowed.json").read_text())
    assert genotypes.to_json(found.genotype) == cell.read_text()
    macs = count.macs(pruned_file.network(found, 10), (8, 8, 1))
    assert macs == summary["tuned"]["macs"] <= 50000 < summary["whole"]["macs"]
    assert summary["tuned"]["parameters"] < summary["whole"]["parameters"]
    costs = [summary["whole"]["macs"], *(step["cost"] for step in summary["steps"])]
    assert all(after < before for before, after in zip(costs, costs[1:], strict=False))
    assert {"narrow.md", "steps.svg", "steps.png"} <= {path.name for path in folder.iterdir()}
    # Stopped while the narrowed network was tuned: it goes on with that one.
    shutil.rmtree(folder / "tuned")
    (folder / "summary.json").unlink()
    assert main([*words, *FEW]) == 0
    assert "held-out images" not in capsys.readouterr().out
    again = json.loads((folder / "summary.json").read_text())
    for each in (summary, again):
        del each["tuned"]["latency_ms"]
    assert again == summary
    assert summary["target"] == {"macs": 50000, "holds": True}
    assert main([*words, *FEW, "--tune-epochs", "2"]) == 2
    assert "epochs" in capsys.readouterr().err


def test_a_target_in_milliseconds_is_gone_to_by_tables(cell, tmp_path, capsys, monkeypatch):
    """On a device whose time is 0.1 ms and MACs, so that nothing depends on this one's quiet."""
    takes = lambda net: 0.1 + count.macs(net, (8, 8, 1)) / 1e5

    def measured(subject, image, multiple):
        saved = {name: [] for name in subject.groups}
        for name, width, left in width_table._tried(subject, multiple):
            saved[name].append((width, takes(subject.net) - takes(subject.network(left))))
        of = {name: part.width for name, part in subject.groups.items()}
        return width_table.table(takes(subject.net), of, saved)

    monkeypatch.setattr(width_table, "PROGRAMS", 6)
    monkeypatch.setattr(width_table, "measured", measured)
    timed = lambda net, *_: timing.Milliseconds(takes(net), 0, 0, 1)
    monkeypatch.setattr(timing, "inference", timed)
    words = ["narrow", str(cell), "--out", str(tmp_path), *FEW]
    assert main([*words, "--name", "n", "--target-ms", "0.3"]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    summary = json.loads((tmp_path / "n" / "summary.json").read_text())
    assert summary["whole"]["latency_ms"] > 0.6
    assert summary["tuned"]["latency_ms"] <= 0.3 and summary["target"]["holds"]
    # Each budget is 0.7 of the last milliseconds at least, and each of its steps is cheaper.
    assert said.count("on this device") >= 2 and "ms predicted" in said
    costs = [step["cost"] for step in summary["steps"]]
    rises = sum(after >= before for before, after in zip(costs, costs[1:], strict=False))
    assert rises <= said.count("on this device") - 1
    assert main([*words, "--name", "m", "--target-ms", "0.01"]) == 2
    assert "at least" in capsys.readouterr().err and not (tmp_path / "m").exists()


def test_a_uniform_cut_has_the_shapes_of_the_narrower_network(genotype, cell):
    """Of a mobile network and of a cell: what NetAdapt is compared with."""
    found = setup.load(DataSettings(limit=300), 0.8)
    for path, family in ((genotype, "mobile"), (cell, "nasbench201")):
        of = lambda features, path=path, family=family: narrow_state.kind_of(
            genotypes.from_json(path.read_text()),
            recipes.resolved(Recipe(features=features), family, (8, 8, 1)),
            found,
        )
        kind, small = of(16), of(12)
        shapes = lambda of: jax.eval_shape(
            of.network(of.whole).init, jax.random.key(0), jnp.zeros((1, 8, 8, 1))
        )
        drawn = lambda leaf: np.random.default_rng(0).normal(size=leaf.shape)
        at, wanted = jax.tree.map(drawn, shapes(kind)), shapes(small)
        chex.assert_trees_all_equal_shapes(net_adapt_study._cut(kind, small, at), wanted)


def test_a_space_of_ones_own_is_refused(tmp_path, capsys):
    path = tmp_path / "genotype.json"
    found = published.PUBLISHED["DARTS_V2"]._replace(space="mine")
    path.write_text(genotypes.to_json(found))
    assert main(["narrow", str(path), "--macs", "5"]) == 2
    assert "from Python alone" in capsys.readouterr().err


def test_a_budget_that_cannot_be_met_is_refused_before_anything_is_trained(genotype, capsys):
    cells = ("--cells", "1", "--reductions", "0")
    for given, more in (("DARTS_V2", cells), (str(genotype), ())):
        assert main(["narrow", given, "--macs", "100", *more]) == 2
        assert "in multiples of 4 leave" in capsys.readouterr().err


def test_channels_in_halves_want_an_even_multiple(capsys):
    assert main(["narrow", "DARTS_V2", "--macs", "5", "--multiple", "3"]) == 2
    error = capsys.readouterr().err
    assert "two halves" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "chain",
    [CHAIN, zoo.fbnet(), zoo.mobilenet_v2(), zoo.mobilenet_v3_large()],
    ids=lambda chain: chain.name,
)
def test_a_chain_is_read_as_it_was_written(chain):
    assert chain_file.from_json(chain_file.to_json(chain)) == chain


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"jaxnas_chain": 2}', '{"jaxnas_chain": 1}', "[" * 100_000,
     chain_file.to_json(CHAIN).replace("k3_e3", "k4_e3"),
     chain_file.to_json(CHAIN).replace('"stem"', '"stern"')],
)  # fmt: skip
def test_what_is_no_chain_is_refused(text):
    with pytest.raises(ChainError) as caught:
        chain_file.from_json(text)
    assert "\n" not in str(caught.value)
