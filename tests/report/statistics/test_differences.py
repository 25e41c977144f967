"""Differences of pairs: ranks against a count by hand, and what leaves no spread."""

import pytest

from jaxnas.report.statistics import differences


def test_one_pair_that_fails_decides_the_mean_and_not_the_ranks():
    found = differences.of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, -80.0])
    assert (found.count, found.ahead, found.median) == (9, 8, 4.0) and found.mean < 0
    # The rank of the one is 9 of a sum of 45: 33 of 512 sets of signs have 9 or less.
    assert found.p_ranks == pytest.approx(2 * 33 / 512)
    assert differences.cells(found)[3] == "8 of 9"


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0]])
def test_pairs_that_leave_no_spread_have_no_interval(values):
    mean = "+2.00" if values else "–"
    count = f"{len(values)} of {len(values)}"
    assert differences.cells(differences.of(values)) == (mean, "–", "–", count)
