"""Tables of texts, as plain lines, as Markdown and as HTML."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxnas.report import html_page


class TextTable(NamedTuple):
    """`rows` have as many texts as `head`; the first text of each is the row's name."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def check(table: TextTable) -> TextTable:
    """`table` unchanged. Raises ValueError if a row has not as many texts as the head."""
    for row in table.rows:
        if len(row) != len(table.head):
            raise ValueError(
                f"The row {list(row)} has {len(row)} texts under {len(table.head)} titles: give "
                "one a title."
            )
    return table


def text(table: TextTable) -> str:
    """Plain lines, names aligned to the left and the other texts to the right."""
    lines = [table.head, *check(table).rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ([name.ljust, *(cell.rjust for cell in rest)] for name, *rest in lines)
    rows = (
        "  ".join(align(width) for align, width in zip(row, widths, strict=True)) for row in aligned
    )
    return "".join(f"{row.rstrip()}\n" for row in rows)


def markdown(table: TextTable) -> str:
    """A table in GitHub's Markdown."""
    row = lambda cells: "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    rule = "|---" + "|---:" * (len(table.head) - 1) + "|\n"
    return row(table.head) + rule + "".join(map(row, check(table).rows))


def html(table: TextTable, caption: str) -> str:
    """A table in HTML, which scrolls sideways where it does not fit."""
    head = "".join(f'<th scope="col">{html_page.escape(cell)}</th>' for cell in table.head)
    body = "".join(
        f'<tr><th scope="row">{html_page.escape(name)}</th>'
        + "".join(f"<td>{html_page.escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for name, *rest in check(table).rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{html_page.escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
