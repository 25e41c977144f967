"""The host loop: a pure update, run to its last step in chunks, from wherever it was saved."""

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

State = Any  # a pytree with a field `step`, i32[]


class EpochResult(NamedTuple):
    """What a caller measured at the end of an epoch, and a line for `gates.jsonl`."""

    metrics: Mapping[str, float] = {}
    gates: Mapping[str, Any] | None = None


class RunResult(NamedTuple):
    """How a run ended. The figures of this process are None where it took no step."""

    state: State
    resumed_from: int  # 0: began anew
    step_ms: float | None  # mean
    compile_s: float | None
    needed_bytes: int | None  # predicted peak beyond what is loaded


def loop(
    update: step_runner.Update | step_runner.StepRunner,
    state: State,
    *,
    folder: Path,
    record: Mapping[str, Any],
    total_steps: int,
    steps_per_epoch: int,
    execution: step_runner.Execution,
    operands: tuple = (),
    on_epoch: Callable[[State], EpochResult] | None = None,
    saving: checkpoint_policy.SavePolicy = checkpoint_policy.EVERY_MINUTE,
    skip_limits: Mapping[str, float] | None = None,
    tensorboard: bool = True,
    title: str = "run",
    figures: tuple[tuple[str, str, str], ...] = progress.METRICS,
    console: rich.console.Console | None = None,
) -> RunResult:
    """Takes `state` from the last checkpoint in `folder`, or from step 0, to `total_steps`.

    `update(state, *operands) -> (state, {name: scalar})` is pure; it finds its batch by
    `state.step`. Give data as `operands`: arrays that `update` closes over become constants of
    the program. Runs that are to share a compilation are given the same `chunks` of an update
    instead. `folder` is held by `claim`, and `record` is what `describe` gave.
    `on_epoch(state)` must not keep the state, whose buffers the next chunk takes.

    Writes `metrics.jsonl` (a line a step, and a line an epoch with the caller's metrics),
    `gates.jsonl`, `tensorboard/` and `checkpoints/`. `skip_limits[cell]` is the value of
    `gates/skips/CELL` from which on the user is warned.

    On one machine with the same versions the final state is the same to the byte however
    often the run was stopped. Raises Interrupted after SIGINT or SIGTERM, when all is saved;
    NonFiniteError if a loss or the state is not finite; RunError if the folder cannot be
    written or memory is short; CheckpointError if the checkpoints are not of this run;
    ValueError if the numbers of steps make no run, or `update` changes shapes.
    """
    folder = Path(folder).absolute()
    keep = checkpoint_policy.in_steps(
        checkpoint_policy.check(saving), _checked(steps_per_epoch, total_steps)
    )
    if skip_limits and on_epoch is None:
        raise ValueError("Skip limits have no effect without `on_epoch`, which counts skips.")
    state = step_runner.own_copy(state)
    if int(state.step):
        raise ValueError(f"A run is given its state at step 0, not {int(state.step)}.")
    console = console or rich.console.Console()
    process.keep_freed_memory()
    ready = isinstance(update, step_runner.StepRunner)
    if ready and operands:
        raise ValueError("Operands have no effect on chunks, which were made with their own.")
    work = update if ready else step_runner.make_runner(update, operands, execution.mode)
    compile_s = needed_bytes = None
    spent_s = 0.0

    with contextlib.ExitStack() as stack:
        enter, note = stack.enter_context, lambda text: progress.print_line(console, text)
        stop = enter(signals.stop_requests(note))
        # Infinities that a state begins with, as of a running minimum, are no failure.
        infinite = health.non_finite_leaves(state)
        fingerprint = provenance.fingerprint(record)
        store = enter(checkpoint.open_store(folder / "checkpoints", fingerprint, keep, note))
        state, start = store.restore(state) or (state, 0)
        if start:
            note(f"{title}: goes on after step {start} of {total_steps}")
        written = enter(metric_writer.open_writer(folder, start, tensorboard))
        bar = enter(progress.run_bar(title, start, total_steps, steps_per_epoch, console, figures))
        watch = health.warn_on_collapse(skip_limits or {}, note)
        step = saved = start
        saved_s = time.monotonic()

        def save() -> None:
            nonlocal saved, saved_s
            if step == saved:
                return
            for leaf in sorted(health.non_finite_leaves(state) - infinite):
                raise health.NonFiniteError(f"The state's {leaf}", step, saved or None, folder)
            written.sync()
            store.save(step, state)
            saved, saved_s = step, time.monotonic()

        def stop_if_asked() -> None:
            if (number := stop()) is not None:
                save()
                raise signals.Interrupted(
                    f"Stopped after step {step} of {total_steps}, which is saved in {folder}. "
                    "Run the same command again to go on.",
                    number,
                )

        while step < total_steps:
            length = step_runner.chunk_length(
                step, total_steps, steps_per_epoch, execution.chunk_steps
            )
            with _memory_errors():
                if not work.is_compiled(length):
                    began = time.monotonic()
                    with bar.compiling():
                        compiled = work.compile(state, length)
                    compile_s = (compile_s or 0.0) + time.monotonic() - began
                    needed_bytes = max(memory.needed(compiled) or 0, needed_bytes or 0) or None
                    note(f"{title}: {memory.advice(needed_bytes, memory.free())}")
                    stop_if_asked()
                began = time.monotonic()
                state, done, measured = work.run(state, length, lambda: stop() is not None)
            chunk_s = time.monotonic() - began
            spent_s += chunk_s
            lines = metric_writer.step_lines(
                measured, step, done, steps_per_epoch, 1e3 * chunk_s / done
            )
            bad = health.first_bad_loss(lines)
            written.measured(lines if bad is None else lines[: bad[0] + 1])
            if bad is not None:
                row, name = bad
                raise health.NonFiniteError(name, step + row + 1, saved or None, folder)
            step += done
            if int(state.step) != step:
                raise ValueError(f"`update` must add 1 to `state.step`: {state.step}, not {step}.")

            epoch_line = None
            if step % steps_per_epoch == 0 or step == total_steps:
                epoch_line = {"step": step, "epoch": lines[-1]["epoch"]}
                if on_epoch is not None:
                    epoch_line = _report(on_epoch(state), epoch_line, written)
                    watch(epoch_line)
            left_s = spent_s / (step - start) * (total_steps - step)
            bar.update(lines, epoch_line, left_s)
            if step == total_steps or checkpoint_policy.is_due(saving, keep, step, saved, saved_s):
                save()
            stop_if_asked()
    steps = step - start
    return RunResult(
        state, start, 1e3 * spent_s / steps if steps else None, compile_s, needed_bytes
    )


def _report(
    epoch: EpochResult, place: dict[str, int], written: metric_writer.MetricWriter
) -> dict[str, float]:
    line = place | {name: float(value) for name, value in epoch.metrics.items()}
    written.measured([line])
    if epoch.gates is not None:
        written.gates(place | dict(epoch.gates))
    return line


def _checked(steps_per_epoch: int, total_steps: int) -> int:
    if steps_per_epoch < 1 or total_steps < 1:
        raise ValueError(
            "A run has at least one step an epoch and one in all, not "
            f"{steps_per_epoch} and {total_steps}."
        )
    return steps_per_epoch


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
