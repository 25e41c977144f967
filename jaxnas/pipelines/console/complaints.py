"""Complaints of the parser of command lines, in one line."""

import re


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
