"""Eight devices that share each batch search and train as one does, up to the order of sums."""

import json

import jax
import numpy as np
import pytest

from jaxnas.core import sharding
from jaxnas.pipelines import search
from jaxnas.pipelines.settings import Recipe, SearchSettings
from jaxnas.pipelines.settings.common import DataSettings, RunSettings


def searched(tmp_path, devices):
    settings = SearchSettings(
        source=DataSettings(limit=160),
        space="nasbench201",
        epochs=1,
        batch_size=16,
        features=2,
        cells=1,
        random_cells=0,
        devices=devices,
        retrain=Recipe(epochs=1, batch_size=16, features=2, cells=1),
        place=RunSettings(out=str(tmp_path), name=f"on-{devices}"),
    )
    return search.main(settings)


def test_the_same_genotype_and_nearly_the_same_gates(tmp_path, capsys):
    assert len(jax.devices()) == 8
    one, eight = (searched(tmp_path, devices) for devices in (1, 8))
    assert "8 devices share each batch" in capsys.readouterr().out
    read = lambda folder, name: (folder / name).read_text()
    assert read(one, "genotype.json") == read(eight, "genotype.json")
    gates = [
        np.array(json.loads(read(folder, "gates.jsonl").splitlines()[-1])["gates"]["cell"])
        for folder in (one, eight)
    ]
    np.testing.assert_allclose(*gates, atol=1e-4)
    losses = [json.loads(read(f, "retrain/found/result.json"))["loss"] for f in (one, eight)]
    assert losses[1] == pytest.approx(losses[0], abs=0.02)
    # Another number of devices is another run: the last digits depend on it.
    settings = json.loads(read(eight, "settings.json"))["settings"]
    assert settings["devices"] == 8
    assert "devices" not in json.loads(read(one, "settings.json"))["settings"]


def test_impossible_meshes_are_refused():
    with pytest.raises(ValueError, match="--devices is 9, but there are 8"):
        sharding.mesh_of(9, {"--batch-size": 18})
    with pytest.raises(ValueError, match="--batch-size is 12, which does not split over 8"):
        sharding.mesh_of(8, {"--batch-size": 12})
    assert sharding.mesh_of(None, {"--batch-size": 8}) is None  # a CPU is one device
    assert sharding.mesh_of(4, {"--batch-size": 8}).size == 4
