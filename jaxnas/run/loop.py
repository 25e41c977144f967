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
    runner: step_runner.StepRunner
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
    often the run was stopped. Raises Interrupted after SIGINT or SIGTERM, when it is saved;
    NonFiniteError if a loss or the state is not finite; RunError if the folder cannot be
    written or memory is short; CheckpointError if the checkpoints are not of this run;
    ValueError for numbers of steps below one, and if `update` changes shapes or dtypes.
    """
    checkpoint_policy.check(run.checkpoints)
    _check_steps(steps_per_epoch, total_steps)
    if monitor.skip_limits and on_epoch is None:
        raise ValueError("Skip limits have no effect without `on_epoch`, which counts skips.")
    if int(state.step):
        raise ValueError(f"A run is given its state at step 0, not {int(state.step)}.")
    process.keep_freed_memory()
    with contextlib.ExitStack() as stack:
        opened, now = _open(stack, run, runner, state, total_steps, steps_per_epoch, monitor)
        warn_on_collapse = health.warn_on_collapse(monitor.skip_limits, opened.log)
        start = now.step
        while now.step < total_steps:
            length = step_runner.chunk_length(
                now.step, total_steps, steps_per_epoch, run.execution.chunk_steps
            )
            now, rows = _run_chunk(opened, now, length)
            epoch_line = None
            if now.step % steps_per_epoch == 0 or now.step == total_steps:
                epoch_line = {"step": now.step, "epoch": rows[-1]["epoch"]}
                if on_epoch is not None:
                    epoch_line = _write_epoch(opened.writer, on_epoch(now.state), epoch_line)
                    warn_on_collapse(epoch_line)
            remaining_s = now.steps_s / (now.step - start) * (total_steps - now.step)
            opened.bar.update(rows, epoch_line, remaining_s)
            if now.step == total_steps or checkpoint_policy.is_due(
                run.checkpoints, opened.preservation, now.step, now.saved_step, now.saved_s
            ):
                now = _save(opened, now)
            _stop_if_signalled(opened, now)
    step_ms = 1e3 * now.steps_s / (now.step - start) if now.step > start else None
    return RunResult(now.state, start, step_ms, now.compile_s, now.needed_bytes)


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
    opened = _OpenRun(
        folder, runner, total_steps, steps_per_epoch, monitor.title, infinite, preservation,
        store, writer, bar, stop_signal, log,
    )  # fmt: skip
    return opened, LoopState(state, start, start, time.monotonic())


def _run_chunk(
    opened: _OpenRun, now: LoopState, length: int
) -> tuple[LoopState, list[dict[str, float]]]:
    """Runs `length` steps, fewer where the chunk ends early, and writes their metric lines."""
    with _memory_errors():
        now = _compile(opened, now, length)
        start_s = time.monotonic()
        should_stop = lambda: opened.stop_signal() is not None
        state, done, measured = opened.runner.run(now.state, length, should_stop)
    chunk_s = time.monotonic() - start_s
    rows = metric_writer.step_lines(
        measured, now.step, done, opened.steps_per_epoch, 1e3 * chunk_s / done
    )
    bad = health.first_bad_loss(rows)
    opened.writer.write_metrics(rows if bad is None else rows[: bad[0] + 1])
    if bad is not None:
        row, name = bad
        raise health.NonFiniteError(name, now.step + row + 1, now.saved_step or None, opened.folder)
    step = now.step + done
    if int(state.step) != step:
        raise ValueError(f"`update` must add 1 to `state.step`: {state.step}, not {step}.")
    return now._replace(state=state, step=step, steps_s=now.steps_s + chunk_s), rows


def _compile(opened: _OpenRun, now: LoopState, length: int) -> LoopState:
    """Compiles the program of a chunk, unless that was done, and logs its memory."""
    if opened.runner.is_compiled(length):
        return now
    start_s = time.monotonic()
    with opened.bar.compiling():
        compiled = opened.runner.compile(now.state, length)
    compile_s = (now.compile_s or 0.0) + time.monotonic() - start_s
    needed_bytes = max(memory.needed_bytes(compiled) or 0, now.needed_bytes or 0) or None
    opened.log(f"{opened.title}: {memory.advice(needed_bytes, memory.free_bytes())}")
    now = now._replace(compile_s=compile_s, needed_bytes=needed_bytes)
    _stop_if_signalled(opened, now)
    return now


def _save(opened: _OpenRun, now: LoopState) -> LoopState:
    """Saves the state unless that was done. Raises NonFiniteError, and as the store."""
    if now.step == now.saved_step:
        return now
    for leaf in sorted(health.non_finite_leaves(now.state) - opened.infinite):
        raise health.NonFiniteError(
            f"The state's {leaf}", now.step, now.saved_step or None, opened.folder
        )
    opened.writer.sync()
    opened.store.save(now.step, now.state)
    return now._replace(saved_step=now.step, saved_s=time.monotonic())


def _stop_if_signalled(opened: _OpenRun, now: LoopState) -> None:
    """Saves and raises Interrupted after SIGINT or SIGTERM."""
    if (number := opened.stop_signal()) is not None:
        _save(opened, now)
        raise signals.Interrupted(
            f"Stopped after step {now.step} of {opened.total_steps}, which is saved in "
            f"{opened.folder}. Run the same command again to go on.",
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
            "or use the first-order rule. What was saved is intact."
        ) from error
