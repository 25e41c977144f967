"""Training a found network: the paper's protocol, piece by piece."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnas import data
from jaxnas.core.types import Batch, Network
from jaxnas.hardware import timing
from jaxnas.pipelines import search_stages
from jaxnas.pipelines import training as pipelines_training
from jaxnas.pipelines.settings import Recipe, RetrainSettings, SearchSettings
from jaxnas.pipelines.settings import recipe as recipes
from jaxnas.spaces import registry
from jaxnas.spaces.darts import genotypes as published

IMAGE = (8, 8, 1)
RECIPE = recipes.resolved(Recipe(epochs=4, weight_decay=0.1, clip_norm=0.5), "darts", IMAGE)


def linear(extra=None) -> Network:
    """Logits `x @ w`; with `extra`, auxiliary logits `extra * x @ w`; no statistics."""

    def init(key, inputs):
        return {"w": jnp.ones((inputs.shape[-1], 3)) * jnp.arange(3.0)}, {}

    def apply(weights, stats, inputs, key, drop_path):
        logits = inputs @ weights["w"]
        if drop_path is not None:
            logits = logits * (1 - drop_path)
        return (logits, None if extra is None else extra * logits), stats

    return Network(init, apply, lambda weights, stats, inputs: inputs @ weights["w"])


BATCH = Batch(jnp.array([[1.0, 2.0], [0.5, -1.0]]), jnp.array([0, 2]))


def entropy(logits):
    return optax.softmax_cross_entropy_with_integer_labels(logits, BATCH.labels).mean()


def trained(recipe, net, steps, steps_per_epoch=2):
    training = pipelines_training.trainer(net, recipe, steps_per_epoch)
    state = training.init(jax.random.key(0), BATCH.inputs)
    metrics = []
    for _ in range(steps):
        state, measured = training.update(state, BATCH)
        metrics.append(measured)
    return training, state, metrics


def test_a_step_clips_then_decays_then_moves():
    training, state, _ = trained(RECIPE, linear(), 0)
    start = state.weights["w"]
    grad = jax.grad(lambda w: entropy(BATCH.inputs @ w))(start)
    clipped = grad * jnp.minimum(1, 0.5 / jnp.linalg.norm(grad))
    moved, _ = training.update(state, BATCH)
    expected = start - RECIPE.learning_rate * (clipped + 0.1 * start)
    np.testing.assert_allclose(moved.weights["w"], expected, rtol=1e-6)


def test_the_auxiliary_loss_counts_by_its_weight_and_is_not_reported():
    plain = dataclasses.replace(RECIPE, clip_norm=1e9, weight_decay=0.0)
    both = dataclasses.replace(plain, auxiliary=0.4)
    _, state, (metrics,) = trained(both, linear(extra=2.0), 1)
    start = linear().init(None, BATCH.inputs)[0]["w"]
    loss = lambda w: entropy(BATCH.inputs @ w) + 0.4 * entropy(2 * BATCH.inputs @ w)
    expected = start - both.learning_rate * jax.grad(loss)(start)
    np.testing.assert_allclose(state.weights["w"], expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["loss/train"], entropy(BATCH.inputs @ start), rtol=1e-6)


def test_paths_are_dropped_more_with_each_epoch():
    rates = []

    def apply(weights, stats, inputs, key, drop_path):
        rates.append(float(drop_path))
        return (inputs @ weights["w"], None), stats

    net = linear()._replace(apply=apply)
    training = pipelines_training.trainer(net, dataclasses.replace(RECIPE, drop_path=0.2), 2)
    state = training.init(jax.random.key(0), BATCH.inputs)
    with jax.disable_jit():
        for step in range(8):
            training.update(state._replace(step=jnp.int32(step)), BATCH)
    np.testing.assert_allclose(rates, [0, 0, 0.05, 0.05, 0.1, 0.1, 0.15, 0.15], rtol=1e-6)


def test_the_average_of_the_weights_is_debiased_and_is_what_is_tested():
    recipe = dataclasses.replace(RECIPE, ema=0.9)
    training, state, _ = trained(recipe, linear(), 1)
    np.testing.assert_allclose(training.tested(state)["w"], state.weights["w"], rtol=1e-6)
    first = state.weights["w"]
    state, _ = training.update(state, BATCH)
    expected = (0.9 * first + state.weights["w"]) / 1.9
    np.testing.assert_allclose(training.tested(state)["w"], expected, rtol=1e-6)


def test_without_an_average_the_last_weights_are_tested():
    training, state, _ = trained(RECIPE, linear(), 2)
    assert training.tested(state) is state.weights


def test_the_paper_preset_is_the_papers():
    full = recipes.resolved(Recipe(preset="paper"), "darts", (32, 32, 3))
    assert dataclasses.asdict(full) == {
        "preset": "paper", "epochs": 600, "batch_size": 96, "features": 36, "cells": 20,
        "reductions": None, "learning_rate": 0.025, "weight_decay": 3e-4, "clip_norm": 5.0,
        "drop_path": 0.2, "auxiliary": 0.4, "cutout": 16, "pad": 4, "flip": True, "ema": None,
    }  # fmt: skip


def test_a_given_setting_beats_the_preset_even_at_zero():
    full = recipes.resolved(Recipe(preset="paper", cutout=0, flip=False), "darts", (32, 32, 3))
    assert (full.cutout, full.flip, full.drop_path) == (0, False, 0.2)


def test_every_test_image_is_predicted_once(monkeypatch):
    monkeypatch.setattr(pipelines_training, "TEST_BATCH", 7)  # does not divide the 20 images
    found = data.load("digits", limit=100)
    infer = lambda weights, stats, x: x.reshape(len(x), -1)
    logits = pipelines_training.predict(linear()._replace(infer=infer), {}, {}, found)
    expected = data.normalise(found.test.inputs, found.mean, found.std).reshape(20, -1)
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


def test_the_time_of_an_inference_is_between_its_quartiles():
    weights, stats = linear().init(None, BATCH.inputs)
    took = timing.inference(linear(), weights, stats, (4, 4, 2))
    assert 0 < took.low <= took.median <= took.high
    assert took.repetitions >= timing.FEWEST


@pytest.mark.parametrize("space", ["darts", "darts-s1", "nasbench201"])
def test_random_cells_are_seeded_and_as_large_as_found_ones(space):
    entry = registry.get(space)
    cells = [search_stages.random_cells(entry, seed) for seed in (0, 0, 1)]
    assert cells[0] == cells[1] != cells[2]
    gates = {name: np.ones(choice.shape) for name, choice in entry.space.items()}
    found = entry.discretise(entry.space, gates)
    for name, cell in found.cells.items():
        assert len(cells[0].cells[name].edges) == len(cell.edges)
        assert cells[0].cells[name].concat == cell.concat


def test_random_cells_take_every_candidate_and_every_pair_alike():
    entry = registry.get("darts")
    edges = [
        e for s in range(400) for e in search_stages.random_cells(entry, s).cells["normal"].edges
    ]
    ops = [op for _, _, op in edges]
    for name in entry.space["normal"].candidates[0]:
        share = ops.count(name) / len(ops)
        assert name == "none" or share == pytest.approx(1 / 7, abs=0.02), name
    sources = [source for source, target, _ in edges if target == 5]
    for source in range(5):
        assert sources.count(source) / len(sources) == pytest.approx(1 / 5, abs=0.04)


def test_entropy_and_skips_are_counted():
    entry = registry.get("darts-s2")
    gates = {name: np.tile([1.0, 0.0], (14, 1)) for name in entry.space}
    gates["reduce"] = np.full((14, 2), 0.5)
    measured = search_stages.gate_metrics(entry.space, gates, entry.discretise(entry.space, gates))
    assert measured["gates/entropy"] == pytest.approx(np.log(2) / 2)
    # Ties go to the candidate listed first, a skip.
    assert measured["gates/skips/normal"] == measured["gates/skips/reduce"] == 8
    assert measured["gates/skips"] == 16
    assert search_stages.skip_limits(entry) == {"normal": 5, "reduce": 5}


def test_a_space_without_skips_has_no_limit_for_them():
    assert search_stages.skip_limits(registry.get("darts-s4")) == {}


def test_the_default_settings_need_no_argument():
    assert SearchSettings().source.data == "digits"
    assert RetrainSettings("DARTS_V2").recipe == Recipe()
    genotype = published.PUBLISHED["DARTS_V2"]
    assert pipelines_training.network(registry.of_genotype(genotype), genotype, RECIPE, 10)
