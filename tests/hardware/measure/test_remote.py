"""Latency, measured elsewhere: a command that is given an exported network."""

import json
import math
import shlex
import sys
import time

import jax
import numpy as np
import pytest

from jaxnas import cli
from jaxnas.hardware import programs
from jaxnas.hardware.measure import campaign_file, remote
from jaxnas.spaces import registry
from tests import paths, toy
from tests.timed_toys import SMALL, cell, doubling

PHONE = paths.TESTS / "phone.py"


def command(behaviour: str) -> list[str]:
    return remote.parse_command(
        shlex.join([sys.executable, str(PHONE), behaviour, remote.PLACEHOLDER])
    )


def ready(tmp_path, behaviour: str, timeout_s: float = 30.0):
    return remote.prepare(doubling(), None, command(behaviour), tmp_path, timeout_s=timeout_s)


def test_what_is_exported_computes_what_the_network_does(tmp_path):
    program = programs.of_genotype(cell("1s3np1"), registry.get("nasbench201"), SMALL)
    folder = remote.export(program, tmp_path)
    exported = jax.export.deserialize(bytearray((folder / "network.jaxexport").read_bytes()))
    with np.load(folder / "arguments.npz", allow_pickle=False) as archive:
        arguments = [archive[name] for name in sorted(archive.files)]
    said = json.loads((folder / "network.json").read_text())
    assert said["arguments"] == [[str(a.dtype), list(a.shape)] for a in arguments]
    assert said["network"] == program.label
    assert (folder / "network.stablehlo").read_bytes()[:4] == b"ML\xefR"
    ours = toy.jit(program.function)(*programs.filled(program.arguments))
    np.testing.assert_allclose(toy.jit(exported.call)(*arguments), ours, rtol=1e-5)


def test_networks_of_like_names_have_folders_of_their_own(tmp_path):
    first = doubling()._replace(label="|a|" * 60)
    second = first._replace(label="|a|" * 60 + "b")
    assert remote.export(first, tmp_path) != remote.export(second, tmp_path)


def test_a_command_that_times_the_network_is_believed(tmp_path):
    milliseconds = ready(tmp_path, "time").sample()
    assert 0 < milliseconds < 1000


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        ("fail", "The command for 'double' failed with exit code 1: no device is attached"),
        ("rubbish", "printed 'rubbish': print lines such as"),
        ("", "printed no time"),
        ('{"latency_ms": 0}', "print lines such as"),
        ('{"latency_ms": -1.0}', "print lines such as"),
        ('{"latency_ms": [1.0, NaN]}', "print lines such as"),
        ('{"latency_ms": []}', "printed no time"),
        ('{"latency_ms": true}', "print lines such as"),
        ('{"latency_ms": "1 ms"}', "print lines such as"),
        ('{"ms": 1.0}', "print lines such as"),
        ("[1.0]", "print lines such as"),
        ("1.0", "print lines such as"),
    ],
)
def test_a_command_that_gives_no_time_is_one_line(tmp_path, behaviour, cause):
    if behaviour != "fail":
        with pytest.raises(remote.RemoteError, match=cause) as caught:
            remote.parse_output(behaviour)
    else:
        with pytest.raises(remote.RemoteError, match=cause) as caught:
            ready(tmp_path, behaviour).sample()
    assert "\n" not in str(caught.value)


def test_lines_of_single_times_and_lists_are_joined():
    text = '{"latency_ms": 2.0}\n\n{"latency_ms": [1, 3.5], "device": "x"}\n'
    assert remote.parse_output(text) == [2.0, 1.0, 3.5]


def test_a_command_that_hangs_is_ended(tmp_path):
    began = time.monotonic()
    with pytest.raises(remote.RemoteError, match=r"did not finish within 0\.3 s"):
        ready(tmp_path, "hang", timeout_s=0.3).sample()
    assert time.monotonic() - began < 10


def test_a_command_that_cannot_be_started_is_one_line(tmp_path):
    with pytest.raises(remote.RemoteError, match="Cannot start './no-such-command'"):
        remote.times(["./no-such-command"], "double", 1.0)
    with pytest.raises(remote.RemoteError, match="does not say"):
        remote.parse_command("./phone")
    with pytest.raises(remote.RemoteError, match="cannot be read"):
        remote.parse_command("./phone '{network}")


def test_a_phone_is_measured_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    words = (
        "latency measure --networks 2 --features 2 --image 8 8 3 --rounds 4 --name phone --command"
    )
    phone = shlex.join([sys.executable, "-S", str(PHONE), "quick", "{network}"])
    assert cli.main([*words.split(), phone]) == 0
    raw = campaign_file.read(tmp_path / "latency" / "phone" / "campaign.npz")
    assert raw.header["device"]["platform"] == "remote"
    assert raw.header["device"]["kind"] == phone
    # The stand-in says 1.5 ms and 1 ms an argument; four kernels and an image.
    assert raw.rounds_ms.shape[0] == 4 and (raw.rounds_ms[:, 0] == 6.5).all()
    assert math.isnan(raw.facts[0, 0]) and (raw.calls == 1).all()
