"""A figure of dots, one a value, by group."""

import pytest

from jaxnas.report import strip_plot


def test_every_value_is_a_dot_in_the_figure(tmp_path):
    groups = {"a": [1.0, 2.0, float("nan")], "b": [4.0], "none known": [float("nan")]}
    picture = strip_plot.save("T", groups, tmp_path, "f", label="x", lines={"best": 5.0})
    assert 'aria-label="T; means of x: a 1.50, b 4.00"' in picture
    assert (tmp_path / "f.svg").read_text() == picture
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no finite number"):
        strip_plot.save("T", {"none known": [float("nan")]}, tmp_path, "g", label="x")
