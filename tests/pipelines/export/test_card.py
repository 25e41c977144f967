import json
import shutil

import pytest

from jaxnas.pipelines.export import card


def test_the_interval_is_wilsons():
    # Newcombe 1998, table I, method 3 (from memory): 81 of 263.
    assert card.wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert card.wilson(1.0, 20)[1] == pytest.approx(1.0)


def test_the_spread_is_over_runs_beside_it_that_differ_in_the_seed_alone(network, tmp_path):
    runs = {"seed0": {}, "seed1": {"seed": 1}, "other": {"seed": 2, "epochs": 9}}
    for name, changes in runs.items():
        shutil.copytree(network.run, tmp_path / name, ignore=lambda *_: ["checkpoints", "export"])
        path = tmp_path / name / "settings.json"
        table = json.loads(path.read_text())
        table["settings"] |= changes
        path.write_text(json.dumps(table))
    folder = tmp_path / "seed0"
    there = network._replace(run=folder, folder=folder)
    assert card.seeds(there) == {0: network.result["top1"], 1: network.result["top1"]}
    assert "± 0.0 % over 2 seeds (0, 1" in card.text(there, {})
