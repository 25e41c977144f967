"""`jaxnas ...`: the command line of the pipelines."""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code, see `pipelines.command_line`."""
    from jaxnas.pipelines import command_line

    words, debug = command_line.split_debug(argv)
    with command_line.exit_code(debug) as outcome:
        from jaxnas.cli import commands

        outcome.code = commands.run(words)
    return outcome.code
