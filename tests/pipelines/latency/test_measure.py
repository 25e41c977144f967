"""`jaxnas latency measure`: the command that measures a campaign again."""

import dataclasses
import shlex

import tyro

from jaxnas.hardware import programs
from jaxnas.hardware.measure import dataset
from jaxnas.pipelines.latency import measure
from jaxnas.pipelines.settings import latency
from jaxnas.spaces import registry
from tests.campaign_toys import written


def parsed(command):
    words = shlex.split(command)
    assert words[:3] == ["jaxnas", "latency", "measure"]
    return tyro.cli(latency.MeasureSettings, args=words[3:])


def test_the_command_measures_the_same_networks_in_a_new_folder(tmp_path):
    settings = latency.MeasureSettings(networks=25, features=4, image=(8, 8, 1), threads=1, seed=3)
    settings = measure.resolved(dataclasses.replace(settings, slope=True))
    header = measure.fingerprinted(settings, registry.get("nasbench201"), [])
    folder = written(tmp_path / "mine", **(header | {"image": [8, 8, 1], "kinds": ["network"]}))
    again = parsed(measure.command_again(dataset.load(folder)))
    assert (again.out, again.name) == (str(tmp_path), "mine-2")
    assert dataclasses.replace(again, out="latency", name=None) == settings
    (tmp_path / "mine-2").mkdir()
    assert parsed(measure.command_again(dataset.load(folder))).name == "mine-3"


def test_what_is_measured_beside_the_networks_is_told():
    """60 networks are 71 programs: ten twins and the reference are not among those asked for."""
    settings = measure.resolved(latency.MeasureSettings(networks=60))
    space = registry.get("nasbench201")
    measured = measure.programs_of(settings, space, [])
    kinds, twins = [p.kind for p in measured], [p.twin_of is not None for p in measured]
    assert len(measured) == 71
    assert programs.counted(kinds, twins) == (60, "networks")
    assert programs.extra_words(kinds, twins) == (
        ", 10 of them twice (twins, whose differences are the noise), the reference"
    )
    mixed = (["reference", "network", "operator"], [False, False, False])
    assert programs.counted(*mixed) == (2, "programs")
    assert programs.extra_words(*mixed) == ", the reference"
    assert programs.counted(["network"], [False]) == (1, "network")


def test_networks_that_minutes_decided_on_are_counted_and_given_ones_are_named(tmp_path):
    folder = written(tmp_path / "mine", 12, networks=None)
    assert parsed(measure.command_again(dataset.load(folder))).networks == 12
    folder = written(tmp_path / "given", 12, genotypes="0123")
    again = parsed(measure.command_again(dataset.load(folder)))
    assert again.networks is None and again.genotypes == ("GENOTYPES",)
