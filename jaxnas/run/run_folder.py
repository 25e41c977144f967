"""The folder of a run: held by one process, and of one set of settings."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from jaxnas.run import provenance

SETTINGS, LOCK = "settings.json", "run.lock"
RESULTS = ("metrics.jsonl", "gates.jsonl", "checkpoints")


class RunError(ValueError):
    """A run that cannot start or go on, with the cure."""


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
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with opened(folder / LOCK, "a+b") as lock:
        _hold(lock, folder)
        _settle(folder, dict(record), note)
        yield folder


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a RunError that names the path and a cure."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"Cannot write {error.filename or path}: {reason}. Make room or give write "
            "permission, then run the same command again."
        ) from error


def opened(path: Path, mode: str) -> IO[bytes]:
    """An unbuffered binary file, or a RunError that names the cure.

    Unbuffered, so that what a full disk refused is not tried again when the file is closed.
    """
    with writing(path):
        return open(path, mode, buffering=0)


def write_text(path: Path, text: str) -> None:
    """Puts a whole file in place at once: no reader ever sees half of it.

    Raises RunError if the folder is read-only, the disk full, or the like.
    """
    path = Path(path)
    with writing(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise


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
    with writing(folder / LOCK):
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
        write_text(path, _dump(record))
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
        write_text(path, _dump(old | {"continued_in": [*known[1:], record["environment"]]}))
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
