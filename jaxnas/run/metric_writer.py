"""All that a run writes of its steps and epochs, as JSON lines and as TensorBoard events.

`step` counts the steps done: the line of the first step says 1. Names that begin with `time/`
are of the wall clock; all others are equal however often a run was interrupted.
"""

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxnas.run import files
from jaxnas.run import tensorboard as run_tensorboard

Line = Mapping[str, Any]


class MetricWriter(NamedTuple):
    """Writes metric lines, and lines of gates; `sync` forces both to disk, before a save."""

    write_metrics: Callable[[list[Line]], None]
    write_gates: Callable[[Line], None]
    sync: Callable[[], None]


@contextlib.contextmanager
def open_writer(folder: Path, step: int, tensorboard: bool) -> Iterator[MetricWriter]:
    """The journal of a run that goes on after `step`: what was written beyond it is cut off.

    Files: `metrics.jsonl`, `gates.jsonl`, `tensorboard/`. Raises RunError, also from its
    functions, if the disk refuses.
    """
    with contextlib.ExitStack() as stack:
        lines = stack.enter_context(open_lines(folder / "metrics.jsonl", step))
        gates = stack.enter_context(open_lines(folder / "gates.jsonl", step))
        draw = None
        if tensorboard:
            draw = stack.enter_context(run_tensorboard.open_writer(folder / "tensorboard", step))

        def measured(new: list[Line]) -> None:
            lines.write(new)
            if draw is not None:
                draw(new)

        def sync() -> None:
            lines.sync()
            gates.sync()

        yield MetricWriter(measured, lambda line: gates.write([line]), sync)


def step_lines(
    measured: Mapping[str, np.ndarray], first: int, done: int, steps_per_epoch: int, step_ms: float
) -> list[dict[str, float]]:
    """A line a step of a chunk; `first` steps were done before it.

    Where `arch/active` is 0 the names that end in `/valid` mean nothing and are left out.
    """
    lines = []
    for row in range(done):
        line = {"step": first + row + 1, "epoch": (first + row) // steps_per_epoch + 1}
        values = {name: column[row].item() for name, column in measured.items()}
        if not values.get("arch/active", 1):
            values = {n: value for n, value in values.items() if not n.endswith("/valid")}
        lines.append(line | values | {"time/step_ms": round(step_ms, 3)})
    return lines


class JsonLines(NamedTuple):
    """An open file of JSON lines; `write` leaves them with the kernel, `sync` with the disk."""

    write: Callable[[Iterable[Mapping[str, Any]]], None]
    sync: Callable[[], None]


@contextlib.contextmanager
def open_lines(path: Path, step: int) -> Iterator[JsonLines]:
    """Appends to a file whose lines beyond `step` are cut off first.

    Raises RunError, also from `write` and `sync`, if the disk refuses.
    """
    with files.open_unbuffered(path, "a+b") as file:
        with files.as_run_error(path):
            file.truncate(_length(path, step))

        def write(lines: Iterable[Mapping[str, Any]]) -> None:
            text = "".join(json.dumps(_finite(line), allow_nan=False) + "\n" for line in lines)
            with files.as_run_error(path):
                _write_all(file, text.encode())

        def sync() -> None:
            with files.as_run_error(path):
                os.fsync(file.fileno())

        yield JsonLines(write, sync)


def _length(path: Path, step: int) -> int:
    """Bytes of the lines up to `step`; a line torn by a kill and all after it do not count."""
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
    """A nearly full disk takes a part, and refuses at the next try."""
    while text:
        text = text[file.write(text) :]


def _finite(value: Any) -> Any:
    """JSON has no infinities: they become null."""
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
