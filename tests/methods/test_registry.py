"""Every method by its name: its settings, and its program to the end."""

import numpy as np
import pytest

from jaxnas.core import hypergrad
from jaxnas.methods import entry as methods_entry
from jaxnas.methods import registry, selection
from jaxnas.spaces import choices as spaces
from jaxnas.spaces import discretise
from jaxnas.spaces import registry as spaces_registry
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
}
EPOCHS = {"p-darts": 2, "dr-nas-progressive": 2, "r-darts": 8, "r-darts-adaptive": 8, "random": 2}


def entry():
    """DARTS's own, with few candidates and nodes."""
    space = spaces.darts(2, ("max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"))
    return spaces_registry.get("darts")._replace(space=space)


def run_of(order=None):
    return methods_entry.Context(entry(), "darts", drive.STEPS_PER_EPOCH, 0, order)


def own(space, weights, name, edge):
    return drive.own(space, weights, name, edge)


@pytest.mark.parametrize(
    "name", [n for n in selection.names() if "darts" in selection.of(n).families]
)
def test_runs_to_a_genotype(name, monkeypatch):
    # The search network of these programs is a toy without stacks of weights.
    monkeypatch.setattr(registry.edge_stacks, "own", own)
    monkeypatch.setattr(
        registry.net2wider, "widened", lambda old_space, new_space, old, new, seed: new
    )
    flags = {"epochs": EPOCHS.get(name, 3)}
    settings = selection.resolved(name, "quick", flags, SHORT.get(name, []))
    program = selection.make(name, run_of(), settings)
    ran = drive.run(program, lambda space, **net: drive.dense(space))
    choose = selection.of(name).select or discretise.top_edges_per_node
    found = choose(
        ran.found.space,
        ran.found.gates,
        **({"threshold": 0.01} if choose is not discretise.top_edges_per_node else {}),
    )
    assert {len(cell.edges) for cell in found.cells.values()} == {4}
    ops = {op for cell in found.cells.values() for _, _, op in cell.edges}
    assert ops <= set(entry().space["normal"].candidates[0])
    assert sum(stage.epochs for stage in ran.stages) >= flags["epochs"]


def test_perturbation_follows_whoever_has_a_relaxation():
    names = [name for name in selection.names() if selection.of(name).relaxation]
    assert {"darts", "pc-darts", "blank"} <= set(names)
    settings = selection.resolved(
        "darts", "quick", {"epochs": 1}, ["interval=1"], perturbation=True
    )
    assert settings["interval"] == 1
    program = selection.make("darts", run_of(), settings, perturbation=True)
    ran = drive.run(program, lambda space, **net: drive.dense(space))
    for gates in ran.found.gates.values():
        assert set(np.unique(gates)) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="does not follow the method gdas"):
        gdas = selection.resolved("gdas", "quick", {}, [], perturbation=True)
        selection.make("gdas", run_of(), gdas, perturbation=True)


def test_presets_are_the_papers_and_the_quick_one():
    paper = selection.resolved("pc-darts", "paper", {}, [])
    assert (paper["epochs"], paper["warm_up"], paper["learning_rate"]) == (50, 15, 0.1)
    assert paper["min_learning_rate"] == 0
    assert selection.resolved("darts", "paper", {}, [])["min_learning_rate"] == pytest.approx(0.001)
    quick = selection.resolved("darts", "quick", {"learning_rate": 0.1}, [])
    assert quick["min_learning_rate"] == pytest.approx(0.1 * 0.001 / 0.025)


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
        selection.resolved(name, "quick", {}, words)


def test_what_has_no_effect_is_refused():
    with pytest.raises(ValueError, match="--arch-learning-rate has no effect on the method spos"):
        selection.resolved("spos", "quick", {"arch_learning_rate": 0.1}, [])
    with pytest.raises(ValueError, match="--order has no effect on the method gdas"):
        settings = selection.resolved("gdas", "quick", {}, [])
        selection.make("gdas", run_of(hypergrad.unrolled()), settings)
    rewarded = run_of()._replace(reward=lambda accuracy, gates: accuracy)
    with pytest.raises(ValueError, match="gdas learns from no reward.* proxyless-reinforce"):
        selection.make("gdas", rewarded, selection.resolved("gdas", "quick", {}, []))
    with pytest.raises(ValueError, match="No method is called 'dart'; there are darts, "):
        selection.of("dart")


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
    settings = selection.resolved(name, "quick", {}, words)
    with pytest.raises(ValueError, match=cause):
        drive.run(selection.make(name, run_of(), settings), lambda space, **net: drive.dense(space))


def test_a_threshold_has_no_effect_where_every_edge_keeps_its_strongest():
    settings = selection.resolved("fair-darts", "quick", {}, ["threshold=0.7"])
    run = run_of()._replace(family="nasbench201")
    with pytest.raises(ValueError, match="threshold has no effect on NAS-Bench-201"):
        selection.make("fair-darts", run, settings)
