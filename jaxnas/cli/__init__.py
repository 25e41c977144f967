"""`jaxnas ...`: words to settings, settings to a pipeline."""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit code, as `pipelines.command_line` lists them."""
    from jaxnas.cli import commands
    from jaxnas.pipelines import command_line

    words, debug = command_line.split_debug(argv)
    with command_line.exit_code(debug) as outcome:
        outcome.code = commands.run(words)
    return outcome.code
