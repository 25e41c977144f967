"""Claims about the name that is meant by one that is none."""

import pytest

from jaxnas.core import names

NAMES = ("darts", "pc-darts", "dr-nas", "random", "nasbench201", "darts-s1")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("pcdarts", "pc-darts"), ("PC_DARTS", "pc-darts"), ("NB201", "nasbench201"),
        ("drats", "darts"), ("randm", "random"), ("dart", "darts"), ("dn", "dr-nas"),
        ("nsabenhc201", "nasbench201"), ("rendom", "random"), ("dats", "darts"),
        ("something", None), ("", None), ("--", None), ("x", None),
    ],
)  # fmt: skip
def test_finds_the_name_that_is_meant(name, meant):
    assert names.nearest(name, NAMES) == meant
    assert names.hint(name, NAMES) == (f"Did you mean {meant}? " if meant else "")
