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


def flags(kind: type, default: Any = None) -> list[str]:
    """The flags of a kind of settings, `--learning-rate`, groups that have a prefix left out."""
    names = []
    for field in dataclasses.fields(kind if default is None else default):
        value = field.default if default is None else getattr(default, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names += flags(type(value), value) if field.name in UNPREFIXED else []
        else:
            names.append("--" + field.name.replace("_", "-"))
    return names


def with_hint(text: str, known: Iterable[str]) -> str:
    """A complaint of an unknown flag with the one that may be meant, unless it has one."""
    unknown = re.search(r"[Uu]nrecognized \w+: (--[\w.-]+)", text)
    if unknown is None or "Perhaps you meant" in text:
        return text
    from jaxnas.core import names

    meant = names.nearest(unknown[1], known)
    return f"{text} Perhaps you meant {meant}." if meant else text
