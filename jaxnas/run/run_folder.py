"""The folder of a run: held by one process, and of one set of settings."""

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


class Run(NamedTuple):
    """Where a run is kept, what determines it, and how it is carried out."""

    folder: Path  # held by `claim`
    record: Mapping[str, Any]  # of `provenance.record`
    execution: Execution
    checkpoints: SavePolicy = EVERY_MINUTE
    console: rich.console.Console | None = None  # None: standard output


@contextlib.contextmanager
def claim(
    folder: Path, record: Mapping[str, Any], note: Callable[[str], None] = print
) -> Iterator[Path]:
    """Holds the run folder for this process and writes `settings.json` if it is new.

    `record` is what `describe` gave. In a folder of the same settings the run goes on; `note`
    is told where the versions or the device are not those it began with. Raises RunError if a
    live process holds the folder, if its settings are others, or if it cannot be written.
    """
    folder = Path(folder).absolute()
    with files.as_run_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with files.open_unbuffered(folder / LOCK, "a+b") as lock:
        _hold(lock, folder)
        _settle(folder, dict(record), note)
        yield folder


def _hold(lock: IO[bytes], folder: Path) -> None:
    # The kernel drops the lock with its process, so a killed run leaves nothing stale.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        raise RunError(
            f"{folder} is in use by process {lock.read(20).decode() or 'unknown'}: wait for it, "
            "stop it, or give this run another name."
        ) from None
    except OSError as error:
        raise RunError(
            f"Cannot lock {folder / LOCK}: {error.strerror}. Put the run on a local disk."
        ) from error
    with files.as_run_error(folder / LOCK):
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()).encode())


def _settle(folder: Path, record: dict[str, Any], note: Callable[[str], None]) -> None:
    path = folder / SETTINGS
    if not path.exists():
        strangers = [name for name in RESULTS if (folder / name).exists()]
        if strangers:
            raise RunError(
                f"{folder} holds {strangers[0]} but no {SETTINGS}, so it is unknown what made "
                "it: give this run another name, or delete the folder."
            )
        files.write_text(path, _dump(record))
        return
    old = _load(path)
    if changed := provenance.differences(old, record):
        shown = "; ".join(changed[:5]) + (f"; and {len(changed) - 5} more" * (len(changed) > 5))
        raise RunError(
            f"{folder} is a run of other settings: {shown}. Use those of {path}, or give this "
            "run another name."
        )
    known = [old["environment"], *old.get("continued_in", [])]
    if record["environment"] not in known:
        files.write_text(path, _dump(old | {"continued_in": [*known[1:], record["environment"]]}))
        note(
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
