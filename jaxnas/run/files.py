"""Atomic file writes: a reader sees the old file or the new one, never a part of it."""

import codecs
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO


class RunError(ValueError):
    """A run that cannot start or continue; the message is one line with cause and cure."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A temporary file next to `path` that replaces it, synced to disk, when the block ends.

    If the block raises, `path` is unchanged and the temporary file is removed. Raises OSError
    if the folder is read-only, the disk full, or the like.
    """
    path = Path(path)
    prefix = f".{path.name}."
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=prefix, delete=False) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file atomically. Raises RunError if it cannot be written."""
    with as_run_error(path), atomic_write(path) as file:
        file.write(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a file of UTF-8 atomically. Raises RunError if it cannot be written."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def as_run_error(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an OSError of the block into a RunError that names the path and a cure."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(
            f"Cannot write {error.filename or path}: {reason}. Make room or give write "
            "permission, then run the same command again."
        ) from error


def decode(text: bytes, errors: str = "strict") -> str:
    """Text in UTF-8, or in UTF-16 if it says so; byte-order marks are dropped.

    Raises UnicodeDecodeError for other text, unless `errors` is of another kind.
    """
    is_utf16 = text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return text.decode("utf-16" if is_utf16 else "utf-8-sig", errors)


def open_unbuffered(path: str | os.PathLike[str], mode: str) -> IO[bytes]:
    """An unbuffered binary file. Raises RunError if it cannot be opened.

    Unbuffered, so that closing the file does not retry what a full disk refused.
    """
    with as_run_error(path):
        return open(path, mode, buffering=0)
