"""The short campaign of a target that names none."""

import dataclasses
import shutil

import numpy as np
import pytest
import rich.console

from jaxnas.hardware import device
from jaxnas.hardware.measure import dataset
from jaxnas.pipelines import search
from jaxnas.pipelines.latency import device_campaign
from jaxnas.pipelines.settings import DataSettings, Recipe, SearchSettings
from jaxnas.spaces import registry
from jaxnas.spaces.search_space import NetworkSize

SETTINGS = SearchSettings(
    space="nasbench201", method="gdas", target_ms=1e6, epochs=2, retrain=Recipe(features=2)
)


SPACE = registry.get("nasbench201")


def test_it_is_measured_once_and_found_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device_campaign, "NETWORKS", 6)
    monkeypatch.setattr(device_campaign, "MINUTES", 0.05)
    with pytest.raises(ValueError, match="ms"):  # no network is that slow
        search.resolve(SETTINGS, rich.console.Console())
    assert "6 networks like the one to be trained are timed" in capsys.readouterr().out
    (folder,) = (tmp_path / "latency").iterdir()
    campaign = dataset.load(folder)
    assert campaign.size == NetworkSize(2, 1, 10, (8, 8, 1), 1)
    before = (folder / "campaign.npz").read_bytes()

    # Between what is predicted of the fastest and the slowest, on however busy a machine.
    table = dataset.fit_predictor(campaign).table
    target = float(table.min() + table.max()) / 2
    task = search.resolve(dataclasses.replace(SETTINGS, target_ms=target), rich.console.Console())
    assert "as measured before on this device" in capsys.readouterr().out
    (constraint,) = task.search.constraints
    assert (constraint.cost.quantity, constraint.limit) == ("ms", target)
    assert task.predictors.campaign.digest == campaign.digest
    assert task.job.record["settings"]["latency"] == campaign.digest
    assert (folder / "campaign.npz").read_bytes() == before

    again = folder.with_name(f"{folder.name}-2")
    shutil.copytree(folder, again)
    assert device_campaign.find_or_measure(
        dataclasses.replace(SETTINGS, cells=1), SPACE, campaign.size, rich.console.Console()
    ) == again.relative_to(tmp_path)


def test_a_method_that_needs_latencies_measures_them_without_a_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []

    def measured(settings, space, size, console):
        asked.append((settings.latency_weight, size))
        raise ValueError("measured here")

    monkeypatch.setattr(device_campaign, "find_or_measure", measured)
    settings = SearchSettings(space="mobile-single-path", cells=1, method="single-path", epochs=2)
    wide = DataSettings(data=str(images_of(tmp_path, 32)))
    with pytest.raises(ValueError, match="measured here"):
        search.resolve(dataclasses.replace(settings, source=wide), rich.console.Console())
    ((weight, size),) = asked
    assert weight == 0.02 and size.image == (32, 32, 3)


def images_of(folder, side):
    """A set of 200 random colour images of two classes."""
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (200, side, side, 3), np.uint8)
    path = folder / "wide.npz"
    np.savez(path, x_train=images, y_train=np.arange(200) % 2)
    return path


def test_another_device_or_number_of_classes_has_a_campaign_of_its_own(monkeypatch):
    size = NetworkSize(4, 1, 10, (8, 8, 1))
    name = lambda size: device_campaign.settings_of(SETTINGS, SPACE, size).name
    here, classes = name(size), name(size._replace(classes=7))
    this_device = device.this_device()
    monkeypatch.setattr(device, "this_device", lambda: this_device | {"threads": 99})
    assert len({here, classes, name(size)}) == 3


def test_settings_that_cannot_be_are_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="use one of darts"):
        search.resolve(dataclasses.replace(SETTINGS, method="snas"), rich.console.Console())
    assert not list(tmp_path.iterdir())
