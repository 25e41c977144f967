"""`jaxnas retrain`: a genotype's network, trained by a preset and tested once."""

import dataclasses
import io
import json
from pathlib import Path

import jax
import pytest
import rich.console

from jaxnas import data, run
from jaxnas.evaluators.training import Hyperparameters
from jaxnas.pipelines import retrain
from jaxnas.pipelines.retrain import TrainingTask
from jaxnas.pipelines.settings import (
    DataSettings,
    Recipe,
    RetrainSettings,
    RunSettings,
    SearchSettings,
)
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.spaces import genotype as genotypes
from jaxnas.spaces import registry, sampling

DARTS, SMALL = registry.get("darts"), registry.get("darts-s2")
RECIPE = Recipe(epochs=2, batch_size=20, features=2, cells=1, reductions=(), ema=0.9)


def console():
    return rich.console.Console(file=io.StringIO(), width=200)


def test_the_paper_preset_is_the_papers():
    full = recipes.resolved(Recipe(preset="paper"), DARTS, (32, 32, 3))
    assert dataclasses.asdict(full) == {
        "preset": "paper", "epochs": 600, "batch_size": 96, "features": 36, "cells": 20,
        "reductions": None, "learning_rate": 0.025, "weight_decay": 3e-4, "clip_norm": 5.0,
        "drop_path": 0.2, "auxiliary": 0.4, "cutout": 16, "pad": 4, "flip": True, "ema": None,
    }  # fmt: skip


def test_a_given_setting_beats_the_preset_even_at_zero():
    full = recipes.resolved(Recipe(preset="paper", cutout=0, flip=False), DARTS, (32, 32, 3))
    assert (full.cutout, full.flip, full.drop_path) == (0, False, 0.2)


def test_the_default_settings_need_no_argument():
    assert SearchSettings().source.data == "digits"
    assert RetrainSettings("DARTS_V2").recipe == Recipe()
    genotype = registry.published()["DARTS_V2"]
    recipe = recipes.resolved(Recipe(), registry.of_genotype(genotype), (8, 8, 1))
    digits = data.load("digits", limit=100)
    assert retrain.network(TrainingTask(DARTS, genotype, recipe, 0, digits))


def test_all_that_a_training_goes_by_is_a_field_of_the_recipe():
    assert set(Hyperparameters._fields) <= {field.name for field in dataclasses.fields(Recipe)}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    """Of a tiny training that was run to its end."""
    home = tmp_path_factory.mktemp("retrained")
    genotype = sampling.random_genotype(SMALL, 0)
    (home / "mine.json").write_text(genotypes.to_json(genotype))
    settings = RetrainSettings(
        str(home / "mine.json"),
        source=DataSettings(limit=100),
        recipe=RECIPE,
        place=RunSettings(out=str(home)),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
        retrain.main(settings, console())
        yield settings


def test_leaves_a_folder_named_after_data_genotype_and_seed(settings):
    folder = retrain.main(settings, console())
    assert str(folder) == f"{settings.place.out}/digits-retrain-mine-seed0"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"settings.json", "metrics.jsonl", "checkpoints", "genotype.json",
                     "result.json", "summary.json", "report.html"}  # fmt: skip
    result = json.loads((folder / "summary.json").read_text())["found"]
    assert {"top1", "top5", "loss", "ece", "reliability", "latency_ms"} <= result.keys()
    assert result == json.loads((folder / "result.json").read_text())


def test_what_is_done_is_not_done_again(settings):
    resumed = dataclasses.replace(settings, place=dataclasses.replace(settings.place, resume=True))
    for same in (settings, resumed):
        to = console()
        folder = retrain.main(same, to)
        printed = to.file.getvalue()
        assert "compiling" not in printed and "test accuracy" in printed
        assert f"report: {folder / 'report.html'}" in printed


def test_other_settings_are_refused(settings):
    other = dataclasses.replace(RECIPE, learning_rate=0.5)
    with pytest.raises(run.RunError, match="learning_rate"):
        retrain.main(dataclasses.replace(settings, recipe=other), console())


def test_the_weights_that_were_tested_are_read_again(settings):
    genotype = genotypes.from_json(Path(settings.genotype).read_text())
    digits = data.load("digits", limit=100)
    recipe = recipes.resolved(RECIPE, DARTS, (8, 8, 1))
    task = TrainingTask(registry.of_genotype(genotype), genotype, recipe, 0, digits)
    folder = retrain.main(settings, console())
    weights, stats = retrain.load_trained(task, folder)
    logits = retrain.training.predict(retrain.network(task), weights, stats, digits)
    top1 = json.loads((folder / "result.json").read_text())["top1"]
    assert (logits.argmax(-1) == digits.test.labels).mean() == pytest.approx(top1)
