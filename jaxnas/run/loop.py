"""The host loop: a pure update, run in chunks from the last checkpoint to the last step."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import rich.console

from jaxnas.run import (
    checkpoint,
    checkpoint_policy,
    health,
    memory,
    metric_writer,
    process,
    progress,
    provenance,
    signals,
    step_runner,
)
from jaxnas.run.files import RunError
from jaxnas.run.run_folder import Run

State = Any  # a pytree with a field `step`, i32[]


class EpochResult(NamedTuple):
    """The caller's metrics at the end of an epoch, and a line for `gates.jsonl`."""

    metrics: Mapping[str, float] = {}
    gates: Mapping[str, Any] | None = None


class RunResult(NamedTuple):
    """The result of a run. The figures of this process are None if it took no step."""

    state: State
    resumed_from: int  # step of the checkpoint it started from, or 0
    step_ms: float | None  # mean
    compile_s: float | None
    needed_bytes: int | None  # predicted peak beyond what is loaded


class Paused(Exception):
    """A run that reached `Run.pause_at`, of which `result` is the result so far."""

    def __init__(self, result: RunResult):
        super().__init__(f"Paused after step {int(result.state.step)}.")
        self.result = result


class Monitor(NamedTuple):
    """The output of a run: progress, warnings, TensorBoard files."""

    title: str = "run"  # before each line
    metrics: tuple[tuple[str, str, str], ...] = progress.METRICS
    skip_limits: Mapping[str, float] = {}  # cell -> `gates/skips/CELL` from which to warn
    tensorboard: bool = True


class LoopState(NamedTuple):
    """The progress of a run, replaced after each chunk; times and sizes are of this process."""

    state: State
    step: int
    saved_step: int  # of the last checkpoint, 0 where there is none
    saved_s: float  # monotonic time of the last save
    steps_s: float = 0.0  # time in steps, without compilation
    compile_s: float | None = None
    needed_bytes: int | None = None


class _OpenRun(NamedTuple):
    """The constants of a run: its lengths, and its open files."""

    folder: Path
    record: Mapping[str, Any]
    runner: step_runner.StepRunner
    start: int  # step of the checkpoint, or 0
    total_steps: int
    steps_per_epoch: int
    title: str
    infinite: frozenset[str]  # leaves that are not finite at the start
    preservation: checkpoint.PreservationPolicy
    store: checkpoint.CheckpointStore
    writer: metric_writer.MetricWriter
    bar: progress.RunProgress
    stop_signal: Callable[[], int | None]
    log: Callable[[str], None]


def loop(
    run: Run,
    runner: step_runner.StepRunner,
    state: State,
    *,
    total_steps: int,
    steps_per_epoch: int,
    monitor: Monitor,
    on_epoch: Callable[[State], EpochResult] | None = None,
) -> RunResult:
    """Runs `state` from the last checkpoint of the run, or from step 0, to `total_steps`.

    `runner` is made of a pure `update(state, *operands) -> (state, {name: scalar})` that finds
    its batch by `state.step`; runs that share a runner share its compilation. `run.folder` is
    locked by `claim`. `on_epoch(state)` must not keep the state, whose buffers are donated.

    Writes `metrics.jsonl` (a line a step, and a line an epoch with the caller's metrics),
    `gates.jsonl`, `tensorboard/` and `checkpoints/`.

    On one machine with the same versions the final state is the same to the byte however
    often the run was stopped. Raises Interrupted after a stop signal, when it is saved;
    NonFiniteError if a loss or the state is not finite; RunError if the folder cannot be
    written or memory is short; Paused at `run.pause_at`, without saving (in mode `scan` give the
    end of a chunk); CheckpointError if the checkpoints are not of this run; ValueError for
    numbers of steps below one, and if `update` changes shapes or dtypes.
    """
    checkpoint_policy.check(run.checkpoints)
    _check_steps(steps_per_epoch, total_steps)
    if monitor.skip_limits and on_epoch is None:
        raise ValueError("Skip limits have no effect without `on_epoch`, which counts skips.")
    if int(state.step):
        raise ValueError(f"A run is given its state at step 0, not {int(state.step)}.")
    process.keep_freed_memory()
    with contextlib.ExitStack() as stack:
        open_run, current = _open(stack, run, runner, state, total_steps, steps_per_epoch, monitor)
        warn_on_collapse = health.warn_on_collapse(monitor.skip_limits, open_run.log)
        start = current.step
        while current.step < total_steps:
            length = step_runner.chunk_length(
                current.step, total_steps, steps_per_epoch, run.execution.chunk_steps
            )
            if run.pause_at is not None:
                length = min(length, max(1, run.pause_at - current.step))
            current, rows = _run_chunk(open_run, current, length)
            epoch_line = None
            if current.step % steps_per_epoch == 0 or current.step == total_steps:
                epoch_line = {"step": current.step, "epoch": rows[-1]["epoch"]}
                if on_epoch is not None:
                    epoch_line = _write_epoch(open_run.writer, on_epoch(current.state), epoch_line)
                    warn_on_collapse(epoch_line)
            remaining_s = current.steps_s / (current.step - start) * (total_steps - current.step)
            open_run.bar.update(rows, epoch_line, remaining_s)
            if run.pause_at is not None and current.step >= min(run.pause_at, total_steps):
                raise Paused(_result(current, start))
            if current.step == total_steps or checkpoint_policy.is_due(
                run.checkpoints,
                open_run.preservation,
                current.step,
                current.saved_step,
                current.saved_s,
            ):
                current = _save(open_run, current)
            _stop_if_signalled(open_run, current)
    return _result(current, start)


def _result(current: LoopState, start: int) -> RunResult:
    step_ms = 1e3 * current.steps_s / (current.step - start) if current.step > start else None
    return RunResult(current.state, start, step_ms, current.compile_s, current.needed_bytes)


def _open(
    stack: contextlib.ExitStack,
    run: Run,
    runner: step_runner.StepRunner,
    state: State,
    total_steps: int,
    steps_per_epoch: int,
    monitor: Monitor,
) -> tuple[_OpenRun, LoopState]:
    """Opens the files of a run and restores its last checkpoint, if there is one."""
    enter, folder = stack.enter_context, Path(run.folder).absolute()
    console = run.console or rich.console.Console()
    log = lambda text: progress.print_line(console, text)
    stop_signal = enter(signals.stop_requests(log))
    state = step_runner.own_copy(state)
    # Infinities in the initial state, for example of a running minimum, are allowed.
    infinite = health.non_finite_leaves(state)
    preservation = checkpoint_policy.in_steps(run.checkpoints, steps_per_epoch)
    fingerprint = provenance.fingerprint(run.record)
    store = enter(checkpoint.open_store(folder / "checkpoints", fingerprint, preservation, log))
    state, start = store.restore(state) or (state, 0)
    if start:
        log(f"{monitor.title}: goes on after step {start} of {total_steps}")
    writer = enter(metric_writer.open_writer(folder, start, monitor.tensorboard))
    bar = enter(
        progress.run_bar(
            monitor.title, start, total_steps, steps_per_epoch, console, monitor.metrics
        )
    )
    open_run = _OpenRun(
        folder, run.record, runner, start, total_steps, steps_per_epoch, monitor.title, infinite,
        preservation, store, writer, bar, stop_signal, log,
    )  # fmt: skip
    return open_run, LoopState(state, start, start, time.monotonic())


def _run_chunk(
    open_run: _OpenRun, current: LoopState, length: int
) -> tuple[LoopState, list[dict[str, float]]]:
    """Runs `length` steps, fewer where the chunk ends early, and writes their metric lines."""
    with _memory_errors():
        current = _compile(open_run, current, length)
        start_s = time.monotonic()
        should_stop = lambda: open_run.stop_signal() is not None
        state, finished_steps, measured = open_run.runner.run(current.state, length, should_stop)
    chunk_s = time.monotonic() - start_s
    rows = metric_writer.step_lines(
        measured,
        current.step,
        finished_steps,
        open_run.steps_per_epoch,
        1e3 * chunk_s / finished_steps,
    )
    bad = health.first_bad_loss(rows)
    open_run.writer.write_metrics(rows if bad is None else rows[: bad[0] + 1])
    if bad is not None:
        row, name = bad
        raise health.NonFiniteError(
            name, current.step + row + 1, current.saved_step or None, open_run.folder
        )
    step = current.step + finished_steps
    if int(state.step) != step:
        raise ValueError(f"`update` must add 1 to `state.step`: {state.step}, not {step}.")
    return current._replace(state=state, step=step, steps_s=current.steps_s + chunk_s), rows


def _compile(open_run: _OpenRun, current: LoopState, length: int) -> LoopState:
    """Compiles the program of a chunk, unless that was done, and logs its memory."""
    if open_run.runner.is_compiled(length):
        _write_fingerprint(open_run, current, length)
        return current
    start_s = time.monotonic()
    with open_run.bar.compiling():
        compiled = open_run.runner.compile(current.state, length)
    compile_s = (current.compile_s or 0.0) + time.monotonic() - start_s
    needed_bytes = max(memory.needed_bytes(compiled) or 0, current.needed_bytes or 0) or None
    open_run.log(f"{open_run.title}: {memory.advice(needed_bytes, memory.free_bytes())}")
    current = current._replace(compile_s=compile_s, needed_bytes=needed_bytes)
    _write_fingerprint(open_run, current, length)
    _stop_if_signalled(open_run, current)
    return current


def _write_fingerprint(open_run: _OpenRun, current: LoopState, length: int) -> None:
    """Before the first step of this process: `fingerprint.json`, or whether it is still true."""
    if current.step != open_run.start:
        return
    if not provenance.write_parts(open_run.folder, open_run.record, open_run.runner.digest(length)):
        open_run.log(
            f"{open_run.title}: its program is another one than at its start (fingerprint.json): "
            "it goes on, but its bytes are not those of an uninterrupted run."
        )


def _save(open_run: _OpenRun, current: LoopState) -> LoopState:
    """Saves the state unless that was done. Raises NonFiniteError, and as the store."""
    if current.step == current.saved_step:
        return current
    for leaf in sorted(health.non_finite_leaves(current.state) - open_run.infinite):
        raise health.NonFiniteError(
            f"The state's {leaf}", current.step, current.saved_step or None, open_run.folder
        )
    open_run.writer.sync()
    open_run.store.save(current.step, current.state)
    return current._replace(saved_step=current.step, saved_s=time.monotonic())


def _stop_if_signalled(open_run: _OpenRun, current: LoopState) -> None:
    """Saves and raises Interrupted after a stop signal."""
    if (number := open_run.stop_signal()) is not None:
        if not current.step:
            raise signals.Interrupted(
                f"Stopped before the first of {open_run.total_steps} steps: there was nothing to "
                "save. Run the same command again to start.",
                number,
            )
        _save(open_run, current)
        raise signals.Interrupted(
            f"Stopped after step {current.step} of {open_run.total_steps}, which is saved in "
            f"{open_run.folder}. Run the same command again to go on.",
            number,
        )


def _write_epoch(
    writer: metric_writer.MetricWriter, result: EpochResult, place: dict[str, int]
) -> dict[str, float]:
    """Writes the lines of an epoch's end; returns the line of metrics."""
    line = place | {name: float(value) for name, value in result.metrics.items()}
    writer.write_metrics([line])
    if result.gates is not None:
        writer.write_gates(place | dict(result.gates))
    return line


def _check_steps(steps_per_epoch: int, total_steps: int) -> None:
    if steps_per_epoch < 1 or total_steps < 1:
        raise ValueError(
            "A run has at least one step an epoch and one in all, not "
            f"{steps_per_epoch} and {total_steps}."
        )


@contextlib.contextmanager
def _memory_errors() -> Iterator[None]:
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise RunError(
            "Out of memory. Take a smaller batch or fewer channels, turn rematerialisation on, "
            "or use the first-order rule; then run the same command again."
        ) from error
