"""Complaints of the parser of command lines, and warnings, in one line."""

import contextlib
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from jaxnas.core import names as names_of
from jaxnas.spaces.user.plugins import PluginWarning


@contextlib.contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Prints warnings of other packages' parts as errors are: `jaxnas: TEXT`."""
    standard = warnings.formatwarning

    def line(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
        if issubclass(category, PluginWarning):
            return f"jaxnas: {message}\n"
        return standard(message, category, *where, **more)

    warnings.formatwarning = line
    try:
        yield
    finally:
        warnings.formatwarning = standard


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
        meant = names_of.hint(choice[1], names)
        text = f"{choice[2]} cannot be {choice[1]}: {meant}give {' or '.join(names)}"
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


def with_hint(text: str, known: Iterable[str]) -> str:
    """A complaint of an unknown flag with the one that may be meant, among those of its group.

    Where we know none, a parser's own hint stays.
    """
    unknown = re.search(r"[Uu]nrecognized \w+: (--(?:[\w-]+\.)*)([\w-]+)", text)
    if unknown is None:
        return text
    prefix, word = unknown[1], unknown[2]
    group = [flag.removeprefix(prefix) for flag in known if flag.startswith(prefix)]
    meant = names_of.nearest(word, [flag for flag in group if "." not in flag])
    if meant is None:
        return text
    return f"{re.sub(r' Perhaps you meant .*', '', text)} Perhaps you meant {prefix}{meant}."
