"""Constraints of a search: what its flags come to, and what its recipe must be."""

import dataclasses

import numpy as np
import pytest

from experiments import targets as sweep
from jaxnas.hardware import programs, timing
from jaxnas.hardware.measure import campaign_file, dataset
from jaxnas.hardware.predict import fit, predictor_file
from jaxnas.pipelines import constraints
from jaxnas.pipelines.settings import Recipe, SearchSettings
from jaxnas.spaces import genome, genotype, registry
from tests.campaign_toys import ALL_CELLS, SPACE, raw, true_ms, written


def test_the_recipe_is_of_the_size_that_was_timed(measured, model):
    predictors = constraints.Predictors(measured, model)
    assert constraints.recipe(predictors, Recipe()).features == 4
    with pytest.raises(ValueError, match="--retrain.features is 8"):
        constraints.recipe(predictors, Recipe(features=8))
    settings = SearchSettings(
        space="nasbench201", target_ms=0.15, retrain=Recipe(features=4, cells=1)
    )
    (constraint,) = constraints.of_settings(predictors, settings, SPACE, (8, 8, 1), 10)
    assert constraint.cost.quantity == "ms"
    with pytest.raises(ValueError, match="measure with --image 32 32 3"):
        constraints.of_settings(predictors, settings, SPACE, (32, 32, 3), 10)


def test_a_mobile_search_takes_over_the_features_and_names_other_layers(tmp_path):
    space = registry.get("mobile-proxyless", 2)
    random = np.random.default_rng(0)
    rows = np.stack([random.integers(0, n, 25) for n in genome.cardinalities(space.choices)], 1)
    networks = [space.genome.decode(row) for row in rows]
    of = raw(space="mobile-proxyless", cells=2, image=[32, 32, 3], features=8)
    of = of._replace(
        labels=("reference", *map(programs.label, networks)),
        architectures=("{}", *map(genotype.compact, networks)),
    )
    (tmp_path / "mine").mkdir()
    campaign_file.write(tmp_path / "mine" / campaign_file.RAW, of)
    predictors = constraints.Predictors(dataset.load(tmp_path / "mine"), None)
    assert np.array_equal(predictors.campaign.networks, rows)
    recipe = constraints.recipe(predictors, Recipe())
    assert (recipe.features, recipe.cells) == (8, None)
    settings = SearchSettings(
        space="mobile-proxyless", cells=2, method="gdas", target_ms=0.2,
        latency=str(tmp_path / "mine"), any_device=True,
    )  # fmt: skip
    assert constraints.load_predictors(settings).latency.space == space.choices
    with pytest.raises(ValueError, match="give --cells 2"):
        constraints.load_predictors(dataclasses.replace(settings, cells=1))


def test_other_models_are_constraints_of_their_own(tmp_path):
    networks = ALL_CELLS[np.random.default_rng(0).permutation(len(ALL_CELLS))[:40]]
    path = tmp_path / "temp_bytes.json"
    model = fit.fit(SPACE.choices, networks, 1e6 * true_ms(networks), quantity="temp_bytes")
    predictor_file.save(path, model)
    settings = SearchSettings(space="nasbench201", method="gdas", target_models=(f"{path}=1.2e5",))
    predictors = constraints.load_predictors(settings)
    (constraint,) = constraints.of_settings(predictors, settings, SPACE, (8, 8, 1), 10)
    assert (constraint.cost.quantity, constraint.limit) == ("temp_bytes", 1.2e5)
    ((most, sha),) = constraints.fingerprinted(settings, predictors)["target_models"].values()
    assert most == 1.2e5 and len(sha) == 64


def test_counted_constraints_are_in_the_order_of_their_flags():
    settings = SearchSettings(
        space="nasbench201", target_parameters=6000.0, target_macs=6e4,
        retrain=Recipe(features=4, cells=1),
    )  # fmt: skip
    predictors = constraints.load_predictors(settings)
    limits = constraints.of_settings(predictors, settings, SPACE, (8, 8, 1), 10)
    assert [(c.cost.quantity, c.limit) for c in limits] == [("macs", 6e4), ("parameters", 6000.0)]
    assert constraints.fingerprinted(settings, predictors) == {
        "target_macs": 6e4, "target_parameters": 6000.0
    }  # fmt: skip


def test_a_run_without_a_target_is_recorded_as_before():
    assert constraints.fingerprinted(SearchSettings(), None) == {}
    assert constraints.load_predictors(SearchSettings()) is None
    assert constraints.of_settings(None, SearchSettings(), SPACE, (8, 8, 1), 10) == []


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"target_models": ("energy.json",)}, "no FILE=MOST"),
        ({"target_models": ("energy.json=0",)}, "no FILE=MOST"),
        ({"target_models": ("energy.json=nan",)}, "no FILE=MOST"),
        ({"target_models": ("energy.json=5",)}, "Cannot read energy.json"),
        ({"target_models": ("ms.json=5",)}, "two targets are called 'ms'"),
        ({"target_ms": 1.0, "any_device": True}, "--any-device has no effect without --latency"),
        ({"target_ms": 0.0, "latency": "x"}, "give more than 0"),
        ({"latency": "x"}, "--latency has no effect"),
        ({"latency_weight": 0.0, "latency": "x"}, "--latency-weight is 0"),
        ({"latency_form": "fbnet", "target_ms": 1.0, "latency": "x"}, "--latency-form has no eff"),
        ({"latency_weight": 1.0, "latency": "x", "risk": 1.0}, "--risk has no effect"),
        ({"risk": 1.0, "target_macs": 1e5}, "--risk has no effect"),
        ({"any_device": True}, "--any-device has no effect"),
        ({"target_macs": 1e5, "select": "perturbation"}, "--select has no effect"),
        (
            {"target_macs": 1e5, "retrain": Recipe(reductions=(2,))},
            "--retrain.reductions cannot stand beside a target",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(tmp_path, monkeypatch, changes, cause):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=cause) as refusal:
        constraints.load_predictors(SearchSettings(**changes))
    assert "\n" not in str(refusal.value)


def test_a_campaign_of_another_device_or_space_is_refused(tmp_path):
    latency = str(written(tmp_path / "mine"))
    settings = SearchSettings(space="nasbench201", target_ms=0.1, latency=latency)
    with pytest.raises(ValueError, match="measured elsewhere"):
        constraints.load_predictors(settings)
    elsewhere = dataclasses.replace(settings, any_device=True)
    assert constraints.load_predictors(elsewhere).campaign.device
    with pytest.raises(ValueError, match="not darts"):
        constraints.load_predictors(dataclasses.replace(elsewhere, space="darts"))


def test_columns_of_facts_are_those_of_the_networks(tmp_path):
    """What XLA says of a campaign's networks stands in the order of its networks."""
    of = raw(5)
    facts = np.full_like(of.facts, np.nan)
    facts[1:, timing.FACTS.index("temp_bytes")] = np.arange(5.0)
    (tmp_path / "mine").mkdir()
    campaign_file.write(tmp_path / "mine" / campaign_file.RAW, of._replace(facts=facts))
    measured = dataset.load(tmp_path / "mine")
    assert dataset.facts(measured, "temp_bytes").tolist() == [0, 1, 2, 3, 4]


def test_a_sweep_refuses_a_target_before_its_first_row(tmp_path, capsys):
    written(tmp_path / "mine")
    words = ["--latency", str(tmp_path / "mine"), "--targets-ms", "0.15", "99"]
    assert sweep.cli([*words, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "every network takes less" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
