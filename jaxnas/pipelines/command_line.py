"""Command lines to settings, and errors to exit codes: for `jaxnas` and for experiments.

Exit codes: 0 done; 2 failed, with the reason in one line on stderr; 128 + N stopped by signal N,
after saving.
"""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import tyro

from jaxnas.pipelines.console import complaints, printable, stop
from jaxnas.pipelines.settings import flags

REFUSED = 2
# A field's docstring is its help; its comments are not.
CONFIG = (tyro.conf.HelptextFromCommentsOff, tyro.conf.DisallowNone)


class UsageError(ValueError):
    """An invalid command line."""


def run(
    main: Callable[[Any], object],
    default: Any,
    program: str,
    description: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Calls `main` with settings, `default` changed by the flags in `argv`; returns the exit code.

    For scripts that are run as `python -m program`. `--debug` shows the traceback.
    """
    words, debug = split_debug(argv)
    with exit_code(debug) as outcome:
        settings = parse(type(default), words, f"python -m {program}", description, default)
        if settings is not None:
            main(settings)
        outcome.code = 0
    return outcome.code


def split_debug(argv: Sequence[str] | None) -> tuple[list[str], bool]:
    """(`argv`, by default the process's, without `--debug`; whether that was in it)."""
    words = list(sys.argv[1:] if argv is None else argv)
    return [word for word in words if word != "--debug"], "--debug" in words


def parse(
    kind: type, words: Sequence[str], program: str, description: str, default: Any = None
) -> Any | None:
    """Settings of a kind, or None after printing the help, if `words` have `--help`.

    Raises UsageError, in one line, for an invalid command line.
    """
    complaint = io.StringIO()
    start = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind, args=list(words), prog=program, description=description, config=CONFIG,
                **start,
            )  # fmt: skip
    except SystemExit as stopped:
        if not stopped.code:
            return None
        text = complaints.one_line(complaint.getvalue())
        text = complaints.with_hint(text, [flag for flag, _ in flags.typed(kind)])
        raise UsageError(f"{text} See {program} --help.") from None


@contextlib.contextmanager
def exit_code(debug: bool) -> Iterator[SimpleNamespace]:
    """Turns errors of the block into `code` and one line; with `debug` they are raised.

    Unexpected errors are always raised: they are bugs, to be reported with their traceback.
    """
    outcome = SimpleNamespace(code=REFUSED)
    printable.replace_missing_signs(sys.stdout, sys.stderr)
    try:
        with stop.terminable(), complaints.warnings_in_one_line():
            yield outcome
    except KeyboardInterrupt as interrupt:
        _print_error("Interrupted. Run the same command again: it goes on after its last save.")
        outcome.code = 128 + getattr(interrupt, "signal", signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has closed it; avoids Python's second error at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        outcome.code = 128 + signal.SIGPIPE
    except SystemExit as stopped:  # by a user's file
        if debug:
            raise
        _print_error(f"SystemExit in a file of Python that was run: {stopped.code}")
    except Exception as error:
        text = message(error) or _start_failure()
        if text is None:
            raise
        stopped = getattr(error, "signal", None)
        outcome.code = REFUSED if stopped is None else 128 + stopped
        if debug and stopped is None:
            raise
        _print_error(text)


def message(error: Exception) -> str | None:
    """An error in one line, or None for an unexpected one (a bug)."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        return (
            "Out of memory. Take a smaller --batch-size, fewer --features or --cells, or --limit "
            "the images; then run it again."
        )
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or text}. Make room or give permission, then run it again."
    if isinstance(error, RuntimeError) and "home directory" in text:
        return f"{text} Write paths without ~, or set HOME."
    if isinstance(error, ValueError | FloatingPointError) or hasattr(error, "signal"):
        return text or type(error).__name__
    return None


def _start_failure() -> str | None:
    """Why JAX cannot start; None where it can."""
    from jaxnas.pipelines.console import device_start

    return device_start.failure()


def _print_error(message: str) -> None:
    with contextlib.suppress(OSError):  # a terminal that was closed
        print(f"jaxnas: {message}", file=sys.stderr, flush=True)
