"""Complaints of the parser of command lines, in one line."""

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from jaxnas.pipelines.settings.flags import UNPREFIXED


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


def _expected(text: str) -> str:
    if "tuple" in text:
        return "whole numbers with spaces between"
    if "float" in text:
        return "a number"
    return "a whole number" if "int" in text else "another value"


def flags(kind: type, default: Any = None, prefix: str = "--") -> list[str]:
    """The flags of a kind of settings: `--learning-rate`, `--retrain.learning-rate`."""
    names = []
    for field in dataclasses.fields(kind if default is None else default):
        value = field.default if default is None else getattr(default, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            group = "" if field.name in UNPREFIXED else f"{field.name.replace('_', '-')}."
            names += flags(type(value), value, prefix + group)
        else:
            names.append(prefix + field.name.replace("_", "-"))
    return names


def with_hint(text: str, known: Iterable[str]) -> str:
    """A complaint of an unknown flag with the one that may be meant, among those of its group.

    Where we know none, a parser's own hint stays.
    """
    unknown = re.search(r"[Uu]nrecognized \w+: (--(?:[\w-]+\.)*)([\w-]+)", text)
    if unknown is None:
        return text
    from jaxnas.core import names

    prefix, word = unknown[1], unknown[2]
    group = [flag.removeprefix(prefix) for flag in known if flag.startswith(prefix)]
    meant = names.nearest(word, [flag for flag in group if "." not in flag])
    if meant is None:
        return text
    return f"{re.sub(r' Perhaps you meant .*', '', text)} Perhaps you meant {prefix}{meant}."
