"""An experiment as a command: flags in, and one line on stderr where it cannot be done."""

import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from jaxnas.cli import errors, parse

# Where a field has a docstring that is its help; comments are for readers of the code.
CONFIG = (tyro.conf.HelptextFromCommentsOff, tyro.conf.DisallowNone)


def run(
    main: Callable[[Any], object],
    default: Any,
    program: str,
    description: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Calls `main` with `default`, changed by the flags in `argv`; gives its exit code.

    The codes are those of `jaxnas.cli.main`: 0 done, 2 refused in one line, 128 + N stopped by
    signal N with all saved. `--debug` shows the traceback.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    debug, words = "--debug" in words, [word for word in words if word != "--debug"]
    with errors.told(debug) as outcome:
        settings = _parsed(default, words, program, description)
        if settings is not None:
            main(settings)
        outcome.code = 0
    return outcome.code


def _parsed(default: Any, words: list[str], program: str, description: str) -> Any | None:
    """The settings, or None where help was asked for. Raises UsageError for other words."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                type(default), args=words, prog=f"python -m {program}", default=default,
                description=description, config=CONFIG,
            )  # fmt: skip
    except SystemExit as stopped:
        if not stopped.code:
            return None
        line = parse.one_line(complaint.getvalue())
        raise errors.UsageError(f"{line} See python -m {program} --help.") from None
