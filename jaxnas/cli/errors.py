"""How a command fails: one line on stderr that says the cause and the cure."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace

REFUSED = 2


class UsageError(ValueError):
    """A command line that cannot be read."""


class Terminated(KeyboardInterrupt):
    """SIGTERM outside the steps of a run, where nothing waits to be saved."""


@contextlib.contextmanager
def told(debug: bool) -> Iterator[SimpleNamespace]:
    """Turns what the block raises into `code` and one line; with `debug` it is raised.

    What jaxnas does not know is raised as well: it is a bug, and its traceback is the report.
    """
    outcome = SimpleNamespace(code=REFUSED)
    try:
        with _terminable():
            yield outcome
    except KeyboardInterrupt as asked:
        _say("Interrupted; what was saved is intact. Run the same command again to go on.")
        number = signal.SIGTERM if isinstance(asked, Terminated) else signal.SIGINT
        outcome.code = 128 + number
    except BrokenPipeError:
        # Whoever read our output is gone; Python would complain again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        outcome.code = 128 + signal.SIGPIPE
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        stopped = getattr(error, "signal", None)
        outcome.code = REFUSED if stopped is None else 128 + stopped
        if debug and stopped is None:
            raise
        _say(message)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turns SIGTERM into an exception, so that files half written are put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise Terminated

    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old)


def _message(error: Exception) -> str | None:
    """What to say of an error, or None of one that is ours to repair."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return (
            "Out of memory. Take a smaller --batch-size, fewer --features or --cells, or --limit "
            "the images; what was saved is intact."
        )
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or text}. Make room or give permission, then run it again."
    if isinstance(error, ValueError | FloatingPointError) or hasattr(error, "signal"):
        return text or type(error).__name__
    return None


def _say(message: str) -> None:
    print(f"jaxnas: {message}", file=sys.stderr, flush=True)
