"""The folder of a run: locked by one process, with one set of settings."""

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import rich.console

from jaxnas.run import files, provenance
from jaxnas.run.checkpoint_policy import EVERY_MINUTE, SavePolicy
from jaxnas.run.files import RunError
from jaxnas.run.step_runner import Execution

SETTINGS, LOCK = "settings.json", "run.lock"
RESULTS = ("metrics.jsonl", "gates.jsonl", "checkpoints")
MAX_DIFFERENCES = 5  # shown of settings that differ


class Run(NamedTuple):
    """The folder, record, execution and checkpoint policy of a run."""

    folder: Path  # locked by `claim`
    record: Mapping[str, Any]  # of `provenance.record`
    execution: Execution
    checkpoints: SavePolicy = EVERY_MINUTE
    console: rich.console.Console | None = None  # None: standard output
    pause_at: int | None = None  # a step at which `run.loop` raises Paused; None: runs to the end


@contextlib.contextmanager
def claim(
    folder: Path, record: Mapping[str, Any], log: Callable[[str], None] = print
) -> Iterator[Path]:
    """Locks a run folder for this process, and writes `settings.json` if it is new.

    `record` is of `provenance.record`. A folder of the same settings is resumed; `log` reports
    versions or a device that differ from those of its start. Raises RunError if a live
    process has locked the folder, if its settings differ, or if it cannot be written.
    """
    folder = Path(folder).absolute()
    with files.as_run_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.open_unbuffered(folder / LOCK, "a+b") as lock:
        _lock(lock, folder)
        _check_record(folder, dict(record), log)
        yield folder


def _lock(file: IO[bytes], folder: Path) -> None:
    # The kernel releases the lock with its process, so that a killed run leaves none.
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise RunError(
            f"{folder} is in use by process {file.read(20).decode() or 'unknown'}: wait for it, "
            "stop it, or give this run another name."
        ) from None
    except OSError as error:
        raise RunError(
            f"Cannot lock {folder / LOCK}: {error.strerror}. Put the run on a local disk."
        ) from error
    with files.as_run_error(folder / LOCK):
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()).encode())


def _check_record(folder: Path, record: dict[str, Any], log: Callable[[str], None]) -> None:
    """Writes the record of a new run, or compares it with the existing one."""
    path = folder / SETTINGS
    if not path.exists():
        results = [name for name in RESULTS if (folder / name).exists()]
        if results:
            raise RunError(
                f"{folder} holds {results[0]} but no {SETTINGS}, so it is unknown what made "
                "it: give this run another name, or delete the folder."
            )
        files.write_text(path, _dump(record))
        return
    old = _load(path)
    if changed := provenance.differences(old, record):
        omitted = len(changed) - MAX_DIFFERENCES
        text = "; ".join(changed[:MAX_DIFFERENCES]) + (
            f"; and {omitted} more" if omitted > 0 else ""
        )
        raise RunError(
            f"{folder} is a run of other settings: {text}. Use those of {path}, or give this "
            "run another name."
        )
    first, *later = [old["environment"], *old.get("continued_in", [])]
    if record["environment"] not in (first, *later):
        files.write_text(path, _dump(old | {"continued_in": [*later, record["environment"]]}))
        log(
            "This run began with other versions or on another device (settings.json has both): "
            "it goes on, but its bytes are not those of an uninterrupted run."
        )


def _load(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record, dict) and isinstance(record.get("environment"), dict):
            return record
        reason = "it is not the record of a run"
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        reason = str(error) or type(error).__name__
    raise RunError(
        f"Cannot read {path}: {reason}. Give this run another name, or delete the folder."
    )


def _dump(record: Mapping[str, Any]) -> str:
    return json.dumps(record, indent=2) + "\n"
