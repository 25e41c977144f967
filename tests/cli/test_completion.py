"""`jaxnas --completion`: the words that a real shell then offers."""

import functools
import shlex
import shutil
import subprocess

import pytest

from jaxnas.cli import commands, completion
from jaxnas.methods import registry as methods
from jaxnas.spaces import registry as spaces
from jaxnas.strategies.registry import STRATEGIES

SETTINGS = {name: command.settings for name, command in commands.COMMANDS.items()}
LINES = [  # what is typed, the word that is begun being the last
    (["lat"], {"latency"}),
    (["latency", ""], {"measure", "fit", "predict", "report", "check"}),
    (["latency", "fit", "--out"], {"--out"}),
    (["search", "--ord"], {"--order"}),
    (["search", "--order", ""], {"first", "exact", "finite-difference"}),
    (["search", "--order", "ex"], {"exact"}),
    (["search", "--retrain.preset", ""], {"quick", "paper"}),
    (["search", "--method", ""], set(methods.names())),
    (["search", "--no-rem"], {"--no-remat"}),
    (["explore", "--strategy", ""], set(STRATEGIES)),
    (["methods", "dr"], {"dr-nas", "dr-nas-progressive"}),
    (["spaces", ""], set(spaces.names())),
    (["oracle", "--"], {"--help"}),
    (["--ver"], {"--version"}),
    (["--completion", ""], {"bash", "zsh", "fish"}),
    (["draw", "--gen"], set()),
]


@functools.cache
def script(shell):
    return completion.script(shell, SETTINGS, commands.GROUPS)


def offered(shell, line):
    """The words that a shell offers after `jaxnas` and a line."""
    quoted = shlex.join(["jaxnas", *line])
    ask = {
        "bash": f"COMP_WORDS=({quoted}); COMP_CWORD={len(line)}; _jaxnas; echo ${{COMPREPLY[@]}}",
        # Completion proper needs a terminal: this is what it is given.
        "zsh": f"_jaxnas_offered {shlex.join([line[-1], *line[:-1]])}",
        "fish": f"complete -C {shlex.quote(' '.join(['jaxnas', *line]))}",
    }[shell]
    text = script(shell).replace("compdef _jaxnas jaxnas", "true") if shell == "zsh" else None
    ran = subprocess.run(
        [shell, "-c", f"{text or script(shell)}\n{ask}"], capture_output=True, text=True, check=True
    )
    assert ran.stderr == ""
    return {word for word in ran.stdout.split() if word.startswith(line[-1])}


@pytest.mark.parametrize("shell", completion.SCRIPTS)
def test_a_shell_offers_what_may_stand_there(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    for line, words in LINES:
        assert offered(shell, line) == words, line


def test_every_command_and_its_flags_are_offered():
    offers = completion.offers(SETTINGS, commands.GROUPS)
    assert set(offers.flags) == {"", *commands.COMMANDS, *commands.GROUPS}
    assert "--genotype" not in offers.flags["retrain"]  # which is given without a flag
    assert {"--remat", "--no-remat", "--seed", "--debug"} <= set(offers.flags["search"])
    assert ("search", "--remat") not in offers.values
