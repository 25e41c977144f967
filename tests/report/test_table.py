"""A table as text, as Markdown and as HTML."""

import pytest

from jaxnas.report import table


def test_a_table_is_the_same_as_text_as_markdown_and_as_html():
    made = table.TextTable(("name", "a|b"), [("x", "1.00"), ("<long>", "–")])
    assert table.text(made) == "name     a|b\nx       1.00\n<long>     –\n"
    assert table.markdown(made).splitlines()[:3] == [
        "| name | a\\|b |",
        "|---|---:|",
        "| x | 1.00 |",
    ]
    page = table.html(made, "what it is")
    assert "&lt;long&gt;" in page and "<caption>what it is</caption>" in page
    with pytest.raises(ValueError, match="3 texts under 2 titles"):
        table.text(made._replace(rows=[("x", "1", "2")]))
