"""What the loop promises: the same end however often it stopped, and a clear stop."""

import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rich.console
from tensorboardX.proto import event_pb2

from jaxnas import run
from jaxnas.run import checkpoint, memory, provenance, signals, step_runner
from tests import killable, paths


def quiet() -> rich.console.Console:
    return rich.console.Console(file=io.StringIO())


def start(folder, **changes):
    return killable.start(folder, **({"console": quiet(), "tensorboard": False} | changes))


class Crash(Exception):
    """What a test throws into a run."""


def crashing(at_call: int):
    calls, on_epoch = 0, killable.on_epoch_of(killable.toy_search())

    def crash(state):
        nonlocal calls
        calls += 1
        if calls == at_call:
            raise Crash
        return on_epoch(state)

    return crash


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The run that never stopped: mode -> (folder, outcome)."""
    runs = {}
    for mode in ("step", "scan"):
        folder = tmp_path_factory.mktemp(mode)
        runs[mode] = folder, start(folder, mode=mode)
    return runs


@pytest.mark.parametrize("mode", ["step", "scan"])
def test_a_resumed_run_ends_in_the_same_bytes(tmp_path, unbroken, mode):
    for call in (2, 1, 2):
        with pytest.raises(Crash):
            start(tmp_path, mode=mode, on_epoch=crashing(call))
    outcome = start(tmp_path, mode=mode)
    folder, whole = unbroken[mode]
    assert outcome.resumed_from > 0
    assert checkpoint.digest(outcome.state) == checkpoint.digest(whole.state)
    for name in ("metrics.jsonl", "gates.jsonl"):
        assert killable.lines(tmp_path / name) == killable.lines(folder / name)


def test_writes_a_line_a_step_and_a_line_an_epoch(unbroken):
    folder, _ = unbroken["step"]
    written = killable.lines(folder / "metrics.jsonl")
    steps = [line["step"] for line in written if "loss/train" in line]
    assert steps == list(range(1, killable.TOTAL_STEPS + 1))
    epochs = [(line["step"], line["epoch"]) for line in written if "gates/entropy" in line]
    assert epochs == [(10, 1), (20, 2), (30, 3), (40, 4)]
    gates = killable.lines(folder / "gates.jsonl")
    assert [np.shape(line["normal"]) for line in gates] == [(2, 3)] * 4


def test_scan_and_step_agree(unbroken):
    step, scan = (unbroken[mode][1].state for mode in ("step", "scan"))
    for a, b in zip(jax.tree.leaves(step.weights), jax.tree.leaves(scan.weights), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_finished_run_is_not_run_again(unbroken):
    folder, whole = unbroken["step"]
    text = (folder / "metrics.jsonl").read_bytes()
    again = start(folder, on_epoch=lambda state: pytest.fail("ran again"))
    assert (again.resumed_from, again.step_ms, again.compile_s) == (
        killable.TOTAL_STEPS,
        None,
        None,
    )
    assert checkpoint.digest(again.state) == checkpoint.digest(whole.state)
    assert (folder / "metrics.jsonl").read_bytes() == text


@pytest.mark.parametrize("number", [*signals.STOP_SIGNALS])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, unbroken, number):
    on_epoch = killable.on_epoch_of(killable.toy_search())

    def signalled(state):
        if int(state.step) == 20:
            signal.raise_signal(number)
        return on_epoch(state)

    policy = run.SavePolicy(every_s=None)
    before = signal.getsignal(number)
    with pytest.raises(run.Interrupted, match="after step .* of 40.*same command") as stop:
        start(tmp_path, on_epoch=signalled, checkpoints=policy)
    # A thread hears of the signal, on a busy machine a few steps later.
    stopped = int(re.search(r"step (\d+)", str(stop.value))[1])
    assert 20 <= stopped < 40
    assert stop.value.signal == number
    assert signal.getsignal(number) == before
    outcome = start(tmp_path, checkpoints=policy)
    assert outcome.resumed_from == stopped
    assert checkpoint.digest(outcome.state) == checkpoint.digest(unbroken["step"][1].state)


def test_stopped_before_the_first_step_it_promises_no_file(tmp_path, monkeypatch):
    chunk_length = step_runner.chunk_length

    def signalled(*arguments):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0.5)  # a thread hears of it
        return chunk_length(*arguments)

    monkeypatch.setattr(step_runner, "chunk_length", signalled)
    with pytest.raises(run.Interrupted, match="before the first of 40 steps: .* nothing to save"):
        start(tmp_path)


CLOSED = """
import fcntl, sys, termios, time
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # the terminal whose end is a signal
from jaxnas.run import signals
with signals.stop_requests(print) as stopped:
    print("ready", flush=True)
    while stopped() is None:
        time.sleep(0.01)
    print("what a closed terminal cannot show", flush=True)
    sys.exit(100 + stopped())
"""


def test_output_to_a_closed_terminal_is_no_error():
    terminal, end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", CLOSED],
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        stdin=end, stdout=end, stderr=end, start_new_session=True,
    )  # fmt: skip
    os.close(end)
    said = b""
    # The end of the line is written apart: before it, the child is still about to write.
    while b"ready\r\n" not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)
    assert child.wait(timeout=60) == 100 + signal.SIGHUP


def poisoned(at_step: int, name: str):
    """The toy's update, with a metric that is not finite in the step of that number."""
    update = killable.toy_update(killable.toy_search())

    def poison(state, *operands):
        after, measured = update(state, *operands)
        bad = jnp.where(after.step == at_step, jnp.nan, measured[name])
        return after, measured | {name: bad}

    return poison


@pytest.mark.parametrize("mode", ["step", "scan"])
def test_stops_on_a_loss_that_is_not_finite(tmp_path, mode):
    with pytest.raises(
        run.NonFiniteError, match=r"loss/valid .* step 18\. .* is step 16 in"
    ) as bad:
        start(tmp_path, mode=mode, update=poisoned(18, "loss/valid"))
    assert (bad.value.name, bad.value.step, bad.value.last_good) == ("loss/valid", 18, 16)
    last = killable.lines(tmp_path / "metrics.jsonl")[-1]
    assert (last["step"], last["loss/valid"]) == (18, None)


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    update = killable.toy_update(killable.toy_search())

    def poison(state, *operands):
        after, measured = update(state, *operands)
        bad = jnp.where(after.step == 13, jnp.inf, after.stats["mean"])
        return after._replace(stats={"mean": bad}), {"accuracy/train": measured["accuracy/train"]}

    with pytest.raises(run.NonFiniteError, match=r"state's \.stats\['mean'\]") as bad:
        start(tmp_path, update=poison, on_epoch=None)
    assert (bad.value.step, bad.value.last_good) == (13, 9)
    state, step = checkpoint.read(tmp_path / "checkpoints", first_state())
    assert step == 9
    assert np.isfinite(state.stats["mean"]).all()


def first_state():
    return killable.toy_search().init(jax.random.key(0), killable.toy_data()[0][:4])


def test_what_a_resting_architecture_measures_means_nothing(tmp_path):
    update = killable.toy_update(killable.toy_search())

    def resting(state, *operands):
        after, measured = update(state, *operands)
        active = (after.step > 5).astype(jnp.float32)
        loss = jnp.where(active, measured["loss/valid"], jnp.nan)
        return after, measured | {"arch/active": active, "loss/valid": loss}

    start(tmp_path, update=resting)
    steps = [line for line in killable.lines(tmp_path / "metrics.jsonl") if "loss/train" in line]
    assert [line["step"] for line in steps if "loss/valid" not in line] == [1, 2, 3, 4, 5]


def test_warns_once_when_a_cell_collapses(tmp_path):
    def on_epoch(state):
        return run.EpochResult({"gates/skips/normal": int(state.step) // 10})

    console = quiet()
    start(tmp_path, on_epoch=on_epoch, skip_limits={"normal": 2}, console=console)
    warnings = [line for line in console.file.getvalue().splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "epoch 2: cell normal now has 2 skip" in warnings[0]


def test_keeps_every_nth_epoch(tmp_path):
    start(tmp_path, checkpoints=run.SavePolicy(every_s=None, keep=1, keep_epochs=2))
    steps = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
    assert steps == {20, 40}


def test_plain_lines_where_there_is_no_terminal(tmp_path):
    console = quiet()
    start(tmp_path, console=console)
    text = console.file.getvalue()
    assert "compiling" in text.splitlines()[0]
    assert "compiled in" in text.splitlines()[1]
    assert "predicted peak memory" in text
    assert "step 40/40  epoch 4/4  loss " in text.splitlines()[-1]
    for word in ("valid loss", "valid acc", "entropy", "skips", "ms/step", "ETA"):
        assert word in text.splitlines()[-1]
    assert "\x1b" not in text


def test_a_bar_on_a_terminal(tmp_path):
    console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=200)
    start(tmp_path, console=console)
    text = console.file.getvalue()
    assert "\x1b[" in text
    assert "compiling" in text
    assert "epoch 4/4" in text


def events(path):
    """The events of a TensorBoard file: length, its checksum, bytes, their checksum."""
    text, place, found = path.read_bytes(), 0, []
    while place < len(text):
        (length,) = struct.unpack_from("<Q", text, place)
        found.append(event_pb2.Event.FromString(text[place + 12 : place + 12 + length]))
        place += 16 + length
    return found


def test_tensorboard_is_told_where_a_run_was_resumed(tmp_path):
    with pytest.raises(Crash):
        start(tmp_path, on_epoch=crashing(2), tensorboard=True)
    outcome = start(tmp_path, tensorboard=True)
    first, second = (events(path) for path in sorted((tmp_path / "tensorboard").iterdir()))
    assert max(event.step for event in first) == 20
    restart = [event.step for event in second if event.HasField("session_log")]
    assert restart == [outcome.resumed_from + 1]
    losses = {
        event.step: value.simple_value
        for event in first + second
        for value in event.summary.value
        if value.tag == "loss/train"
    }
    written = {
        line["step"]: line["loss/train"]
        for line in killable.lines(tmp_path / "metrics.jsonl")
        if "loss/train" in line
    }
    assert losses == pytest.approx(written)


def test_pauses_where_it_is_told_to_and_saves_nothing(tmp_path, unbroken):
    with pytest.raises(run.Paused) as paused:
        start(tmp_path, pause_at=3, checkpoints=run.SavePolicy(every_steps=30, every_s=None))
    result = paused.value.result
    assert (int(result.state.step), result.resumed_from) == (3, 0)
    assert result.step_ms > 0 and result.compile_s > 0
    lines, whole = (killable.lines(f / "metrics.jsonl") for f in (tmp_path, unbroken["step"][0]))
    assert lines == whole[:3]
    assert not list((tmp_path / "checkpoints").glob("[0-9]*"))


def test_writes_its_fingerprint_and_says_when_its_program_is_another(tmp_path, unbroken):
    folder, _ = unbroken["step"]
    parts = provenance.read_parts(folder)
    assert parts["settings"] != parts["sha256"] and parts["data"] == "toy"
    assert parts["program"]["steps"] == 1 and len(parts["program"]["sha256"]) == 64
    assert parts["versions"]["jax"] == jax.__version__
    with pytest.raises(Crash):
        start(tmp_path, on_epoch=crashing(2))
    assert provenance.read_parts(tmp_path) == parts  # the same in another folder
    plain, notes = killable.toy_update(killable.toy_search()), io.StringIO()

    def changed(state, *operands):
        state, measured = plain(state, *operands)
        return state, measured | {"one": jnp.ones(())}

    console = rich.console.Console(file=notes, width=200)
    start(tmp_path, update=changed, console=console)
    assert "its program is another one than at its start" in notes.getvalue()


def test_memory_that_is_not_there_is_one_clear_error(tmp_path):
    update = killable.toy_update(killable.toy_search())

    def greedy(state, *operands):
        after, measured = update(state, *operands)
        big = jnp.broadcast_to(after.step.astype(jnp.float32), (2**42,))
        return after, measured | {"big": jnp.sort(jnp.sin(big * jnp.arange(2**42)))[7]}

    with pytest.raises(run.RunError, match="Out of memory. Take a smaller batch"):
        start(tmp_path, update=greedy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skip_limits": {"normal": 2}, "on_epoch": None}, "no effect without"),
        ({"skip_limits": {"reduce": 2}}, "gates/skips/reduce is not measured"),
        ({"checkpoints": run.SavePolicy(keep=0)}, "keep must be positive"),
        ({"mode": "map"}, "'scan' or 'step', not 'map'"),
        ({"update": lambda s, *_: (s, {})}, "must add 1 to"),
        ({"update": lambda s, *_: (s._replace(key=s.step), {})}, "turns .key from"),
        ({"update": lambda s, *_: (s._replace(stats=()), {})}, "another structure"),
        ({"update": lambda s, *_: (s._replace(step=s.step + 1), {"a": jnp.ones(2)})}, "a scalar"),
    ],
)
def test_refuses_what_makes_no_run(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        start(tmp_path, **changes)


@pytest.mark.parametrize(("per_epoch", "length"), [(10, 10), (100, 50), (97, 50), (96, 48), (7, 7)])
def test_chunks_divide_the_epoch_where_they_can(per_epoch, length):
    assert run.execution(per_epoch, "scan").chunk_steps == length


@pytest.mark.parametrize(("total", "per_epoch", "chunk"), [(40, 10, 3), (25, 10, 10), (7, 7, 2)])
def test_the_grid_does_not_depend_on_where_a_run_was_stopped(total, per_epoch, chunk):
    def boundaries(step):
        found = []
        while step < total:
            step += step_runner.chunk_length(step, total, per_epoch, chunk)
            found.append(step)
        return found

    grid = boundaries(0)
    assert {*range(per_epoch, total, per_epoch), total} <= set(grid)
    for index, step in enumerate(grid):
        assert boundaries(step) == grid[index + 1 :]


def test_says_when_a_program_will_not_fit():
    compiled = jax.jit(lambda x: jnp.sort(x)[::-1]).lower(jnp.zeros(1000)).compile()
    assert memory.needed_bytes(compiled) >= 4000
    assert memory.free_bytes() > 0
    assert "WARNING" not in memory.advice(2**30, 2**31)
    assert "WARNING: predicted peak memory: 4.00 GiB" in memory.advice(2**32, 2**31)
    assert "unknown" in memory.advice(None, 2**31)
