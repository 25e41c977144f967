"""`jaxnas explore`: by a table, by trainings, by shared weights; resumed, compared, refused."""

import json

import numpy as np
import pytest

from jaxnas.evaluators import evaluator as evaluators
from jaxnas.hardware import counts
from jaxnas.pipelines.explore import explore, problem, shared_weights, short_training
from jaxnas.pipelines.settings import Recipe
from jaxnas.pipelines.settings.common import DataSettings
from jaxnas.pipelines.settings.explore import ExploreSettings
from jaxnas.spaces import genotype, registry
from jaxnas.spaces.search_space import NetworkSize
from tests import paths

TABLE = paths.SHARED / "nasbench" / "nb201.npz"
SIZES = evaluators.of_function(
    {"accuracy": True, "parameters": False},
    lambda design, seed: {
        "accuracy": sum("conv" in op for _, _, op in problem.network(design).cells["cell"].edges),
        "parameters": sum("3x3" in op for _, _, op in problem.network(design).cells["cell"].edges),
    },
)


@pytest.fixture
def counted(monkeypatch):
    """Evaluations by training count convolutions instead."""
    monkeypatch.setattr(short_training, "evaluator", lambda space, dataset, recipe: SIZES)


def settings(tmp_path, **changes):
    defaults = {"evaluations": 20, "set": ("population=8", "tournament=3"), "out": str(tmp_path)}
    return ExploreSettings(**defaults | changes)


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_leaves_a_complete_folder_and_goes_on_with_it(tmp_path, counted, capsys):
    folder = explore.main(settings(tmp_path, random_designs=10))
    for name in ("front.json", "summary.json", "genotype.json", "report.html", "cell_cell.svg"):
        assert (folder / name).exists(), name
    summary = read(folder, "summary.json")
    assert summary["evaluations"] == 20 and summary["random"]["evaluations"] == 10
    best = genotype.from_json((folder / "genotype.json").read_text())
    assert summary["front"][0]["figures"] == SIZES.evaluate([best], [0])[0]
    assert summary["random"]["found"] == summary["front"][0]["figures"]["accuracy"]
    assert "against random   best accuracy" in capsys.readouterr().out
    before = (folder / "evaluations.jsonl").read_bytes()
    assert explore.main(settings(tmp_path, evaluations=24, resume=True)) == folder
    after = (folder / "evaluations.jsonl").read_bytes()
    assert after.startswith(before) and len(after) > len(before)
    with pytest.raises(ValueError, match="a run of other settings: goal"):
        explore.main(settings(tmp_path, goal=("min:parameters",)))


def test_a_network_and_its_training_are_searched_together(tmp_path, counted):
    wanted = {"goal": ("max:accuracy", "min:parameters"), "vary": ("learning_rate=0.03,0.1",)}
    folder = explore.main(settings(tmp_path, **wanted))
    front = read(folder, "front.json")
    assert all(entry["recipe"]["learning_rate"] in (0.03, 0.1) for entry in front)
    assert all(len(entry["design"]) == 7 for entry in front)
    assert (folder / "front.svg").exists() and (folder / "designs.svg").exists()


def test_another_run_is_told_first(tmp_path, counted):
    first = explore.main(settings(tmp_path, name="first"))
    again = explore.main(settings(tmp_path, name="again", from_run=str(first), evaluations=5))
    assert read(again, "summary.json")["evaluations"] == 25
    with pytest.raises(ValueError, match="holds no evaluations.jsonl"):
        explore.main(settings(tmp_path, name="none", from_run=str(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"strategy": "nsga"}, "Did you mean nsga2"),
        ({"set": ("size=3",)}, "'size=3' is no setting of the strategy regularised-evolution"),
        ({"set": ("population=many",)}, "population cannot be 'many'"),
        ({"evaluate": "guessing"}, "--evaluate is 'guessing': give training, scores, table"),
        ({"goal": ("max:energy",)}, "Nothing here measures 'energy': there are accuracy"),
        ({"goal": ("parameters<=3",)}, "Nothing is to be maximised"),
        ({"evaluations": 0}, "--evaluations is 0"),
        ({"vary": ("depth=1,2",)}, "--vary 'depth=1,2'.*give name=value"),
        ({"vary": ("epochs=1,1",)}, "--vary epochs has a value twice"),
        ({"vary": ("epochs=0,1",)}, "--training.epochs is 0"),
        (
            {"evaluate": "table", "vary": ("epochs=1,2",)},
            "--vary has no effect on --evaluate table",
        ),
        ({"time_limit_s": 3.0}, "--time-limit-s has no effect without --workers"),
        ({"table": "nb201.npz"}, "--table has no effect on --evaluate training"),
        ({"cells": 3}, "--cells has no effect"),
        ({"training": Recipe(batch_size=5000)}, "--training.batch-size is 5000 but there are"),
        ({"evaluate": "supernet:nowhere"}, "nowhere"),
        ({"resume": True}, "There is no run in"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, changes, cause):
    with pytest.raises(ValueError, match=cause):
        explore.main(settings(tmp_path, **changes))
    assert not list(tmp_path.iterdir())


def test_a_short_training_scores_on_images_that_it_has_not_seen(tmp_path):
    given = settings(
        tmp_path,
        source=DataSettings(limit=300),
        training=Recipe(epochs=2, cells=1, features=4, batch_size=60),
    )
    exploration = problem.resolve(given)
    cell = registry.get("nasbench201").genome.decode(np.array([3, 0, 1, 0, 3, 0]))
    first, other = exploration.evaluator.evaluate([cell, cell], [7, 8])
    assert first["loss"] != other["loss"]  # another seed, other weights
    assert first["macs"] == other["macs"]
    assert set(first) == {"accuracy", "loss", "ece", "parameters", "macs"}
    assert first["accuracy"] * 60 == pytest.approx(round(first["accuracy"] * 60))  # a fifth of 300
    assert first["loss"] > 0


def test_by_the_table_a_search_finds_good_cells_and_compares(tmp_path, capsys):
    if not TABLE.exists():
        pytest.skip(f"no table of NAS-Bench-201: {TABLE}")
    goals = ("max:valid", "min:parameters", "macs<=8e7")
    folder = explore.main(
        settings(tmp_path, evaluate="table", table=str(TABLE), goal=goals, evaluations=60)
    )
    front = read(folder, "front.json")
    assert front and all(entry["figures"]["macs"] <= 8e7 for entry in front)
    valid = [entry["figures"]["valid"] for entry in front]
    sizes = [entry["figures"]["parameters"] for entry in front]
    assert sizes == sorted(sizes) and valid == sorted(valid)
    assert "hypervolume" in capsys.readouterr().out


def test_what_is_known_for_free_is_what_an_evaluation_gives():
    given = ExploreSettings(training=Recipe(cells=1, features=4))
    designs = problem.resolve(given).designs
    rows = np.array([[3, 0, 1, 0, 3, 0], [3, 3, 3, 3, 3, 3], [2, 4, 1, 4, 0, 1]])
    size = NetworkSize(4, 1, 10, (8, 8, 1))
    space = registry.get("nasbench201")
    for row, parameters, macs in zip(
        rows, designs.known["parameters"](rows), designs.known["macs"](rows), strict=True
    ):
        counted = counts.exact(space, designs.decode(row), size)
        assert (parameters, macs) == (counted["parameters"], counted["macs"])


def test_scores_are_those_that_goals_name():
    given = ExploreSettings(
        evaluate="scores", goal=("max:gradient_norm", "min:macs"),
        training=Recipe(cells=1, features=2),
    )  # fmt: skip
    exploration = problem.resolve(given)
    assert list(exploration.evaluator.maximise) == ["gradient_norm", "parameters", "macs"]
    assert not exploration.is_cheap


def test_shared_weights_of_another_space_are_refused(tmp_path):
    with pytest.raises(ValueError, match="settings.json"):
        shared_weights.evaluator(registry.get("nasbench201"), tmp_path)
