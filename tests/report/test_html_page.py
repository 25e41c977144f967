"""A page of sections under chips."""

from jaxnas.report import html_page


def test_a_page_shows_text_as_text(tmp_path):
    html_page.write(tmp_path / "p.html", "Study", "<T>", {"k": "<v>"}, {"A & B": "<p>content</p>"})
    page = (tmp_path / "p.html").read_text()
    assert "&lt;T&gt;" in page and "&lt;v&gt;" in page and "<p>content</p>" in page
    assert 'href="#a-b"' in page and 'id="a-b"' in page
