"""`jaxnas latency measure`: the command that measures a campaign again."""

import dataclasses
import shlex

import tyro

from jaxnas.hardware.measure import dataset
from jaxnas.pipelines import latency_measure
from jaxnas.pipelines.settings import latency
from tests.campaign_toys import written


def parsed(command):
    words = shlex.split(command)
    assert words[:3] == ["jaxnas", "latency", "measure"]
    return tyro.cli(latency.MeasureSettings, args=words[3:])


def test_the_command_measures_the_same_networks_in_a_new_folder(tmp_path):
    settings = latency.MeasureSettings(networks=25, features=4, image=(8, 8, 1), threads=1, seed=3)
    settings = latency_measure.resolved(dataclasses.replace(settings, slope=True))
    header = latency_measure.fingerprinted(
        settings, latency_measure.registry.get("nasbench201"), []
    )
    folder = written(tmp_path / "mine", **(header | {"image": [8, 8, 1], "kinds": ["network"]}))
    again = parsed(latency_measure.command_again(dataset.load(folder)))
    assert (again.out, again.name) == (str(tmp_path), "mine-2")
    assert dataclasses.replace(again, out="latency", name=None) == settings
    (tmp_path / "mine-2").mkdir()
    assert parsed(latency_measure.command_again(dataset.load(folder))).name == "mine-3"


def test_networks_that_minutes_decided_on_are_counted_and_given_ones_are_named(tmp_path):
    folder = written(tmp_path / "mine", 12, networks=None)
    assert parsed(latency_measure.command_again(dataset.load(folder))).networks == 12
    folder = written(tmp_path / "given", 12, genotypes="0123")
    again = parsed(latency_measure.command_again(dataset.load(folder)))
    assert again.networks is None and again.genotypes == ("GENOTYPES",)
