"""Command lines to settings, and errors to exit codes: for `jaxnas` and for experiments.

Exit codes: 0 done; 2 failed, with the reason in one line on stderr; 128 + N stopped by signal N,
after saving.
"""

import contextlib
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import tyro

REFUSED = 2
# A field's docstring is its help; its comments are not.
CONFIG = (tyro.conf.HelptextFromCommentsOff, tyro.conf.DisallowNone)


class UsageError(ValueError):
    """An invalid command line."""


class Terminated(KeyboardInterrupt):
    """SIGTERM outside the steps of a run."""


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
        raise UsageError(f"{one_line(complaint.getvalue())} See {program} --help.") from None


def one_line(box: str) -> str:
    """tyro's box of an error as a sentence: the error, and the flag that may be meant."""
    sections: list[list[str]] = [[]]
    for row in (line.strip("│ \t") for line in box.splitlines()):
        # A rule, or the frame; the title comes before the first one.
        if re.match(r"[╭╰]|[─-]{3,}$", row):
            sections.append([])
        elif row:
            sections[-1].append(row)
    text = " ".join(sections[1]) if len(sections) > 1 else " ".join(box.split())
    invalid_value = re.search(r"Error parsing (--\S+): .*?(?:from \[|: )'([^']*)'", text)
    if invalid_value:
        text = f"{invalid_value[1]} cannot be {invalid_value[2]!r}: give {_expected(text)}"
    choice = re.match(
        r"invalid choice ('.*?') for argument '(.*?)'\. Expected one of \((.*)\)", text
    )
    if choice:
        names = sorted(set(re.findall(r"'(.*?)'", choice[3])) - {"None"})
        text = f"{choice[2]} cannot be {choice[1]}: give {' or '.join(names)}"
    for hints in sections[2:]:
        flags = [row.split()[0].rstrip(",") for row in hints if row.startswith("--")]
        if hints[:1] == ["Perhaps you meant:"] and flags:
            text += f". Perhaps you meant {flags[0]}"
    return text.rstrip(".") + "."


@contextlib.contextmanager
def exit_code(debug: bool) -> Iterator[SimpleNamespace]:
    """Turns errors of the block into `code` and one line; with `debug` they are raised.

    Unexpected errors are always raised: they are bugs, to be reported with their traceback.
    """
    outcome = SimpleNamespace(code=REFUSED)
    try:
        with _terminable():
            yield outcome
    except KeyboardInterrupt as interrupt:
        _print_error("Interrupted; what was saved is intact. Run the same command again to go on.")
        number = signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT
        outcome.code = 128 + number
    except BrokenPipeError:
        # The reader of our output has closed it; avoids Python's second error at shutdown.
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
        _print_error(message)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Turns SIGTERM into an exception, so that partly written files are removed."""
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
    """The message of an error, or None for an unexpected one (a bug)."""
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


def _print_error(message: str) -> None:
    print(f"jaxnas: {message}", file=sys.stderr, flush=True)


def _expected(text: str) -> str:
    if "tuple" in text:
        return "whole numbers with spaces between"
    if "float" in text:
        return "a number"
    return "a whole number" if "int" in text else "another value"
