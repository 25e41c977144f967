"""Every method by its name: its settings, and its program to the end."""

import numpy as np
import pytest

from jaxnas.core import hypergrad
from jaxnas.methods import registry
from jaxnas.methods.entry import Context
from jaxnas.spaces import registry as spaces
from jaxnas.spaces import search_space
from jaxnas.spaces.darts import choices
from jaxnas.spaces.search_space import Edits
from tests import drive

# Programs as short as their settings allow.
SHORT = {
    "pc-darts": ["warm_up=1"],
    "sd-darts": ["warm_up=1"],
    "p-darts": ["rest=1", "cells=1,1,1", "keep=3,2"],
    "dr-nas-progressive": ["rest=1", "keep=2"],
    "few-shot": ["splits=1", "batches=1"],
    "spos": ["samples=4"],
    "random": ["cells=2"],
    "idarts": ["series=1"],
    "fair-darts": ["threshold=0.01"],
}
EPOCHS = {"p-darts": 2, "dr-nas-progressive": 2, "r-darts": 8, "r-darts-adaptive": 8, "random": 2}


def space():
    """DARTS's own, with few candidates and nodes, and edits of the toy that programs run on."""
    few = choices.darts(2, ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"))
    edits = Edits({}, lambda rate: {}, lambda old_space, new_space, old, new, seed: new, drive.own)
    return spaces.get("darts")._replace(choices=few, edits=edits)


def context(**of_run):
    return Context(space(), drive.STEPS_PER_EPOCH, seed=0, **of_run)


@pytest.mark.parametrize(
    "name", [n for n, method in registry.METHODS.items() if registry.fits(method, space())]
)
def test_runs_to_a_genotype(name):
    flags = {"epochs": EPOCHS.get(name, 3)}
    settings = registry.resolve(name, "quick", flags, SHORT.get(name, []))
    program = registry.program(name, context(), settings)
    ran = drive.run(program, lambda space, **net: drive.dense(space))
    of_method = registry.get(name).discretise(space(), settings)
    genotype = (of_method or space().discretise)(ran.found.space, ran.found.gates)
    assert {len(cell.edges) for cell in genotype.cells.values()} == {4}
    ops = {op for cell in genotype.cells.values() for _, _, op in cell.edges}
    assert ops <= set(space().choices["normal"].candidates[0])
    assert sum(stage.epochs for stage in ran.stages) >= flags["epochs"]


FITTING = {
    "darts": 22,
    "nasbench201": 24,
    "mobile-proxyless": 20,
    "hypercuboid": 1,
}
CELLS = {"pc-darts", "dr-nas-progressive", "p-darts", "fair-darts", "darts-minus", "few-shot"}
ONE_PATH = {"proxyless-reinforce", "fbnet"}


@pytest.mark.parametrize("name", FITTING)
def test_methods_fit_the_spaces_that_support_what_they_need(name):
    fitting = {
        n for n, method in registry.METHODS.items() if registry.fits(method, spaces.get(name))
    }
    assert len(fitting) == FITTING[name]
    assert (fitting >= CELLS) == (name in ("darts", "nasbench201"))
    assert (fitting >= ONE_PATH) == (name in ("nasbench201", "mobile-proxyless"))
    assert (fitting >= {"proxyless", "single-path"}) == (name == "mobile-proxyless")
    assert ("hypercuboid" in fitting) == (name == "hypercuboid")


def test_perturbation_follows_whoever_has_a_relaxation():
    names = [name for name, method in registry.METHODS.items() if method.relaxation]
    assert {"darts", "pc-darts", "blank"} <= set(names)
    settings = registry.resolve("darts", "quick", {"epochs": 1}, ["interval=1"], perturbation=True)
    assert settings["interval"] == 1
    program = registry.program("darts", context(), settings, perturbation=True)
    ran = drive.run(program, lambda space, **net: drive.dense(space))
    for gates in ran.found.gates.values():
        assert set(np.unique(gates)) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="does not follow the method gdas"):
        gdas = registry.resolve("gdas", "quick", {}, [], perturbation=True)
        registry.program("gdas", context(), gdas, perturbation=True)


def test_presets_are_the_papers_and_the_quick_one():
    paper = registry.resolve("pc-darts", "paper", {}, [])
    assert (paper["epochs"], paper["warm_up"], paper["learning_rate"]) == (50, 15, 0.1)
    assert paper["min_learning_rate"] == 0
    assert registry.resolve("darts", "paper", {}, [])["min_learning_rate"] == pytest.approx(0.001)
    quick = registry.resolve("darts", "quick", {"learning_rate": 0.1}, [])
    assert quick["min_learning_rate"] == pytest.approx(0.1 * 0.001 / 0.025)
    given = registry.resolve("spos", "quick", {"learning_rate": 0.1}, ["min-learning-rate=0"])
    assert given["min_learning_rate"] == 0


@pytest.mark.parametrize(
    "name, words, cause",
    [
        ("pc-darts", ["k=4"], "'k=4' is no setting of the method pc-darts"),
        ("pc-darts", ["partial"], "give name=value"),
        ("pc-darts", ["partial=many"], "partial cannot be 'many': give a whole number"),
        ("darts", ["epochs=3"], "no setting of the method darts"),
        ("gdas", ["temperature=warm"], "give a finite number"),
        ("darts", ["weight_decay=nan"], "give a finite number"),
        ("pc-darts", ["warm_up=none"], "warm_up cannot be 'none': give a whole number"),
        ("p-darts", ["cells=1;2"], "give numbers with commas between"),
    ],
)
def test_settings_that_cannot_be_are_refused(name, words, cause):
    with pytest.raises(ValueError, match=cause):
        registry.resolve(name, "quick", {}, words)


def test_what_has_no_effect_is_refused():
    with pytest.raises(ValueError, match="--arch-learning-rate has no effect on the method spos"):
        registry.resolve("spos", "quick", {"arch_learning_rate": 0.1}, [])
    with pytest.raises(ValueError, match="--order has no effect on the method gdas"):
        settings = registry.resolve("gdas", "quick", {}, [])
        registry.program("gdas", context(hypergrad=hypergrad.unrolled()), settings)
    rewarded = context(reward=lambda accuracy, gates: accuracy)
    with pytest.raises(ValueError, match="gdas learns from no reward.* proxyless-reinforce"):
        registry.program("gdas", rewarded, registry.resolve("gdas", "quick", {}, []))
    with pytest.raises(ValueError, match="No method is called 'dart'; there are darts, "):
        registry.get("dart")


@pytest.mark.parametrize(
    "name, words, cause",
    [
        ("gdas", ["temperature=0"], "emperature"),
        ("pc-darts", ["warm_up=12"], "leaves none"),
        ("sd-darts", ["teachers=-1"], "eacher"),
        ("smooth-darts", ["attack=none"], "perturbed .random. or"),
    ],
)
def test_impossible_settings_are_refused_by_the_method(name, words, cause):
    settings = registry.resolve(name, "quick", {}, words)
    with pytest.raises(ValueError, match=cause):
        drive.run(
            registry.program(name, context(), settings), lambda space, **net: drive.dense(space)
        )


def test_a_threshold_has_no_effect_where_every_edge_keeps_its_strongest():
    settings = registry.resolve("fair-darts", "quick", {}, ["threshold=0.7"])
    benchmark = Context(spaces.get("nasbench201"), drive.STEPS_PER_EPOCH, seed=0)
    with pytest.raises(ValueError, match="threshold has no effect on the space nasbench201"):
        registry.program("fair-darts", benchmark, settings)


def test_needs_are_capabilities_and_each_of_these_is_needed():
    needs = frozenset().union(*(method.needs for method in registry.METHODS.values()))
    # The last one is asked for by pipelines: where an image is halved.
    assert needs == set(search_space.CAPABILITIES) - {"search_reductions"}


def test_a_supernet_without_execute_is_refused_to_methods_that_sample_candidates():
    space = spaces.get("nasbench201")
    plain = space._replace(supports=space.supports - {"execute"})
    with pytest.raises(ValueError, match="does not support \\(execute\\)"):
        registry.program(
            "gdas", Context(plain, drive.STEPS_PER_EPOCH, seed=0), registry.get("gdas").defaults
        )
