"""What was measured, as JSON lines: one a step and one an epoch.

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

from jaxnas.run import run_folder


class JsonLines(NamedTuple):
    """An open file of JSON lines; `write` leaves them with the kernel, `sync` with the disk."""

    write: Callable[[Iterable[Mapping[str, Any]]], None]
    sync: Callable[[], None]


@contextlib.contextmanager
def open_lines(path: Path, step: int) -> Iterator[JsonLines]:
    """Appends to a file whose lines beyond `step` are cut off first.

    Raises RunError, also from `write` and `sync`, if the disk refuses.
    """
    with run_folder.opened(path, "a+b") as file:
        with run_folder.writing(path):
            file.truncate(_length(path, step))

        def write(lines: Iterable[Mapping[str, Any]]) -> None:
            text = "".join(json.dumps(_finite(line), allow_nan=False) + "\n" for line in lines)
            with run_folder.writing(path):
                _write_all(file, text.encode())

        def sync() -> None:
            with run_folder.writing(path):
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
