"""Completion scripts for shells: `jaxnas --completion SHELL`.

A script is a table: at a place (a command, or a command and the flag before) these words may stand;
where it has none, names of files.
"""

import shlex
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from jaxnas.core import names as names_of
from jaxnas.pipelines.settings import flags as settings_flags

TOP = ("--help", "--version", "--completion")
EVERYWHERE = ("--help", "--debug")


class Offers(NamedTuple):
    """What may stand where; keys are commands as they are typed, "" for none yet."""

    names: Mapping[str, tuple[str, ...]]  # a word that is no flag; where missing: a file
    flags: Mapping[str, tuple[str, ...]]
    values: Mapping[tuple[str, str], tuple[str, ...]]  # of a command and the flag before


def script(shell: str, commands: Mapping[str, type], groups: Collection[str]) -> str:
    """The script for a shell, of commands and their settings. Raises ValueError for others."""
    if shell not in SCRIPTS:
        meant = names_of.hint(shell, SCRIPTS)
        raise ValueError(f"No completion for {shell!r}: {meant}there are {', '.join(SCRIPTS)}.")
    return SCRIPTS[shell](offers(commands, groups), groups)


def offers(commands: Mapping[str, type], groups: Collection[str]) -> Offers:
    """All that may be completed; loads the registries, for their names."""
    from jaxnas.methods import registry as methods
    from jaxnas.spaces import registry as spaces
    from jaxnas.strategies.registry import STRATEGIES

    known = {"method": methods.names(), "space": spaces.names(), "strategy": tuple(STRATEGIES)}
    lists = {"methods": "method", "spaces": "space", "strategies": "strategy"}
    first = tuple(dict.fromkeys(name.partition(" ")[0] for name in commands))
    names: dict[str, tuple[str, ...]] = {"": first, "--completion": tuple(SCRIPTS)}
    flags: dict[str, tuple[str, ...]] = {"": TOP}
    values = {}
    for group in groups:
        parts = [name.partition(" ")[2] for name in commands if name.startswith(f"{group} ")]
        names[group], flags[group] = tuple(parts), ("--help",)
    for name, settings in commands.items():
        typed = dict(settings_flags.typed(settings))
        flags[name] = (*typed, *EVERYWHERE)
        if name in lists:
            names[name] = known[lists[name]]
        for flag, hint in typed.items():
            offered = known.get(flag.removeprefix("--")) or tuple(_choices(hint))
            if offered:
                values[name, flag] = offered
    return Offers(names, flags, values)


def _choices(hint: Any) -> Iterator[str]:
    """The words of a Literal, within a union or a tuple or alone."""
    if typing.get_origin(hint) is Literal:
        yield from map(str, typing.get_args(hint))
    else:
        for part in typing.get_args(hint):
            yield from _choices(part)


def _bash(all_offers: Offers, groups: Collection[str]) -> str:
    return f"""\
# Completion of jaxnas for bash: source this file in ~/.bashrc.
{_function(all_offers, groups)}
_jaxnas() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" offered
    offered=$(_jaxnas_offered "$word" "${{COMP_WORDS[@]:1:COMP_CWORD-1}}")
    COMPREPLY=($(compgen -W "$offered" -- "$word"))
}}
complete -o default -F _jaxnas jaxnas
"""


def _zsh(all_offers: Offers, groups: Collection[str]) -> str:
    return f"""\
#compdef jaxnas
# Completion of jaxnas for zsh: save it as _jaxnas in a folder of $fpath, or source it in ~/.zshrc
# after compinit.
{_function(all_offers, groups)}
_jaxnas() {{
    local offered
    offered=$(_jaxnas_offered "${{words[CURRENT]}}" "${{(@)words[2,CURRENT-1]}}")
    if [ -n "$offered" ]; then compadd -- ${{=offered}}; else _files; fi
}}
if [ "${{funcstack[1]}}" = _jaxnas ]; then _jaxnas "$@"; else compdef _jaxnas jaxnas; fi
"""


def _function(all_offers: Offers, groups: Collection[str]) -> str:
    """`_jaxnas_offered WORD BEFORE...`: prints what may stand in place of WORD, for any shell."""
    values = _cases(all_offers.values, lambda key: f"{key[0]} {key[1]}".strip())
    return f"""\
_jaxnas_offered() {{
    local word="$1" command="${{2-}}" before=""
    shift
    case "$command" in {"|".join(groups)}) [ $# -gt 1 ] && command="$command $2" ;; esac
    for before; do :; done
    case "$command $before" in
{values}
    esac
    case "$word" in -*)
        case "$command" in
{_cases(all_offers.flags, str)}
        esac ;;
    esac
    case "$command" in
{_cases(all_offers.names, str)}
    esac
}}"""


def _cases(table: Mapping[Any, tuple[str, ...]], place: Callable[[Any], str]) -> str:
    rows = (
        f"    {shlex.quote(place(key))}) echo {shlex.join(words)}; return ;;"
        for key, words in table.items()
    )
    return "\n".join(rows)


def _fish(all_offers: Offers, groups: Collection[str]) -> str:
    cases = "\n".join(
        f"        case {shlex.quote(f'{place}')}\n"
        f"            printf '%s\\n' {shlex.join(words)}; return"
        for place, words in _places(all_offers)
    )
    return f"""\
# Completion of jaxnas for fish: save it as ~/.config/fish/completions/jaxnas.fish.
function __jaxnas_offered
    set -l words (commandline -opc)[2..]
    set -l word (commandline -ct)
    set -l job "$words[1]"
    if contains -- "$job" {" ".join(groups)}; and test (count $words) -gt 1
        set job "$job $words[2]"
    end
    set -l kind name
    if string match -q -- '-*' "$word"
        set kind flag
    end
    for place in "value $job $words[-1]" "$kind $job"
        switch "$place"
{cases}
        end
    end
    __fish_complete_path "$word"
end
complete -c jaxnas -f -a '(__jaxnas_offered)'
"""


def _places(all_offers: Offers) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The words at each place, as `value COMMAND FLAG`, `flag COMMAND` and `name COMMAND`."""
    for (command, flag), words in all_offers.values.items():
        yield f"value {command} {flag}", words
    for kind, table in (("flag", all_offers.flags), ("name", all_offers.names)):
        for command, words in table.items():
            yield f"{kind} {command}", words


SCRIPTS: Mapping[str, Callable[[Offers, Collection[str]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
