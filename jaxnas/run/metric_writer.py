"""Metrics of a run's steps and epochs, written as JSON lines and as TensorBoard events.

`step` is the number of finished steps: the line of the first step has 1. Metrics named `time/...`
are of the wall clock; all others do not depend on interruptions of a run.
"""

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxnas.run import files
from jaxnas.run import tensorboard as run_tensorboard

Line = Mapping[str, Any]


class MetricWriter(NamedTuple):
    """Writes metric lines, and lines of gates; `sync` forces both to disk, before a save."""

    write_metrics: Callable[[Sequence[Line]], None]
    write_gates: Callable[[Line], None]
    sync: Callable[[], None]


@contextlib.contextmanager
def open_writer(folder: Path, step: int, tensorboard: bool) -> Iterator[MetricWriter]:
    """The writer of a run that starts after `step`; lines of later steps are cut off.

    Files: `metrics.jsonl`, `gates.jsonl`, `tensorboard/`. Raises RunError, also from its
    functions, if they cannot be written.
    """
    with contextlib.ExitStack() as stack:
        metrics = stack.enter_context(open_lines(folder / "metrics.jsonl", step))
        gates = stack.enter_context(open_lines(folder / "gates.jsonl", step))
        write_events = None
        if tensorboard:
            write_events = stack.enter_context(
                run_tensorboard.open_writer(folder / "tensorboard", step)
            )

        def write_metrics(lines: Sequence[Line]) -> None:
            metrics.write(lines)
            if write_events is not None:
                write_events(lines)

        def sync() -> None:
            metrics.sync()
            gates.sync()

        yield MetricWriter(write_metrics, lambda line: gates.write([line]), sync)


def step_lines(
    metrics: Mapping[str, np.ndarray], start: int, steps: int, steps_per_epoch: int, step_ms: float
) -> list[dict[str, float]]:
    """The metric lines of a chunk, one a step; `start` steps were done before it.

    metrics: f32[steps] by name. If `arch/active` is 0, metrics that end in `/valid` are meaningless
    and omitted.
    """
    lines = []
    for row in range(steps):
        line = {"step": start + row + 1, "epoch": (start + row) // steps_per_epoch + 1}
        values = {name: column[row].item() for name, column in metrics.items()}
        if not values.get("arch/active", 1):
            values = {n: value for n, value in values.items() if not n.endswith("/valid")}
        lines.append(line | values | {"time/step_ms": round(step_ms, 3)})
    return lines


class JsonLines(NamedTuple):
    """An open file of JSON lines; `write` passes them to the kernel, `sync` forces them to disk."""

    write: Callable[[Iterable[Mapping[str, Any]]], None]
    sync: Callable[[], None]


@contextlib.contextmanager
def open_lines(path: Path, step: int) -> Iterator[JsonLines]:
    """A file to append to, after lines of steps beyond `step` are cut off.

    Raises RunError, also from `write` and `sync`, if it cannot be written.
    """
    with files.open_unbuffered(path, "a+b") as file:
        with files.as_run_error(path):
            file.truncate(_bytes_up_to(path, step))

        def write(lines: Iterable[Mapping[str, Any]]) -> None:
            text = "".join(json.dumps(_to_json(line), allow_nan=False) + "\n" for line in lines)
            with files.as_run_error(path):
                _write_all(file, text.encode())

        def sync() -> None:
            with files.as_run_error(path):
                os.fsync(file.fileno())

        yield JsonLines(write, sync)


def _bytes_up_to(path: Path, step: int) -> int:
    """Bytes of the lines up to `step`; a line cut short by a kill and all after it do not count."""
    length = 0
    with open(path, "rb") as file:
        for line in file:
            try:
                if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                    break
            except (ValueError, KeyError, TypeError):
                break
            length += len(line)
    return length


def _write_all(file: IO[bytes], text: bytes) -> None:
    """Writes all of `text`: a nearly full disk takes a part, and the next write raises."""
    while text:
        text = text[file.write(text) :]


def _to_json(value: Any) -> Any:
    """`value` with null for NaN and infinities, which JSON does not have."""
    if isinstance(value, Mapping):
        return {name: _to_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
