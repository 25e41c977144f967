"""`jaxnas ...`: one file a command, and what they share."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit code.

    0: done. 2: refused, or failed for a reason that one line on stderr tells. 128 + N: stopped
    by signal N, all saved.
    """
    from jaxnas.cli import errors, parse

    words = list(sys.argv[1:] if argv is None else argv)
    debug, words = "--debug" in words, [word for word in words if word != "--debug"]
    with errors.told(debug) as outcome:
        outcome.code = parse.run(words)
    return outcome.code
