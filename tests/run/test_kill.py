"""What a killed process leaves: a run that goes on to the same bytes."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rich.console

from jaxnas import run
from jaxnas.run import checkpoint
from tests import killable
from tests.killable import lines

SCRIPT = Path(killable.__file__)


def process(*command: str, **environment: str) -> subprocess.Popen:
    root = SCRIPT.parent.parent
    paths = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": paths} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(folder):
    console = rich.console.Console(file=io.StringIO())
    return killable.start(folder, console=console, tensorboard=False)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, start(folder)


def same(folder, outcome, unbroken) -> bool:
    whole_folder, whole = unbroken
    return checkpoint.digest(outcome.state) == checkpoint.digest(whole.state) and all(
        lines(folder / name) == lines(whole_folder / name)
        for name in ("metrics.jsonl", "gates.jsonl")
    )


def test_killed_again_and_again_it_ends_in_the_same_bytes(tmp_path, unbroken):
    saved = []
    # In the order of a run: each process gets a little further than the one before.
    for kill in ("chunk:3", "save:2", "epoch:2"):
        victim = process(str(SCRIPT), str(tmp_path), kill)
        output, _ = victim.communicate(timeout=120)
        assert victim.returncode == -signal.SIGKILL, output
        names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
        if kill.startswith("save:"):
            assert any("tmp" in name for name in names), "the kill was not inside a save"
        saved.append(max((int(name) for name in names if name.isdigit()), default=0))
    assert saved == sorted(saved)
    assert 0 < saved[-1] < killable.TOTAL_STEPS
    outcome = start(tmp_path)
    assert outcome.resumed_from == saved[-1]
    assert same(tmp_path, outcome, unbroken)
    assert all(path.name.isdigit() for path in (tmp_path / "checkpoints").iterdir())


def test_sigterm_saves_and_a_live_run_is_left_alone(tmp_path, unbroken):
    victim = process(str(SCRIPT), str(tmp_path), KILLABLE_SLEEP_S="0.2")
    for line in victim.stdout:
        if "predicted peak memory" in line:
            break
    with pytest.raises(run.RunError, match=f"in use by process {victim.pid}"):
        start(tmp_path)
    victim.send_signal(signal.SIGTERM)
    output, _ = victim.communicate(timeout=120)
    assert victim.returncode == 128 + signal.SIGTERM, output
    assert "saved in" in output
    assert "same command" in output
    outcome = start(tmp_path)
    assert 0 < outcome.resumed_from < killable.TOTAL_STEPS
    assert same(tmp_path, outcome, unbroken)


def test_the_second_signal_ends_it_at_once():
    victim = process(
        "-c",
        "import ctypes; from jaxnas.run import signals\n"
        "with signals.stop_requests(lambda text: print(text, flush=True)):\n"
        "    print('ready', flush=True)\n"
        "    while True: ctypes.CDLL(None).sleep(60)\n",
    )
    assert victim.stdout.readline() == "ready\n"
    victim.send_signal(signal.SIGINT)
    assert "once more aborts" in victim.stdout.readline()
    began = time.monotonic()
    victim.send_signal(signal.SIGINT)
    assert victim.wait(timeout=60) == 128 + signal.SIGINT
    assert time.monotonic() - began < 10
    victim.stdout.close()
