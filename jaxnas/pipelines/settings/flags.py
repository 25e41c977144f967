"""Settings as flat names and values, and as the command line that gives them."""

import dataclasses
import shlex
import typing
from collections.abc import Iterator
from typing import Any

import tyro.conf

UNPREFIXED = ("source", "place", "recipe")  # groups whose flags stand alone


def flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """{"epochs": 12, "retrain.epochs": 8, ...}: settings by the names of their flags."""
    table = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            inner = prefix if field.name in UNPREFIXED else f"{prefix}{field.name}."
            table |= flat(value, inner)
        else:
            table[prefix + field.name] = value
    return table


def command(program: str, settings: Any, defaults: Any) -> str:
    """The shortest shell command that gives `settings`."""
    words = program.split()
    plain = flat(defaults)
    for name, value in flat(settings).items():
        if value == plain[name] or name == "resume":
            continue
        if name == "genotype":
            words.insert(2, value)
        else:
            words += as_words(name, value)
    return shlex.join(words)


def as_words(name: str, value: Any) -> list[str]:
    """A setting by its flat name as words of a command line."""
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        head, _, tail = flag[2:].rpartition(".")
        no = "--" + (f"{head}.no-{tail}" if head else f"no-{tail}")
        return [flag if value else no]
    if isinstance(value, tuple | list):
        return [flag, *map(str, value)]
    return [flag, str(value)]


def typed(kind: type, prefix: str = "--") -> Iterator[tuple[str, Any]]:
    """The flags of a kind of settings with their types: `--learning-rate`, `--retrain.epochs`.

    What is given without a flag is left out; a switch has two, `--remat` and `--no-remat`.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, marks = hints[field.name], ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *marks = typing.get_args(hint)
        name = field.name.replace("_", "-")
        if dataclasses.is_dataclass(hint):
            yield from typed(hint, prefix if field.name in UNPREFIXED else f"{prefix}{name}.")
        elif _POSITIONAL not in marks:
            yield prefix + name, hint
            if hint is bool:
                yield f"{prefix}no-{name}", hint


_POSITIONAL = typing.get_args(tyro.conf.Positional[str])[1]
