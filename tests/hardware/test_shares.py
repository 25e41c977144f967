"""The uncertainty of a share of few."""

import pytest

from jaxnas.hardware import shares


def test_the_interval_is_wilsons():
    z = 1.6448536269514722
    low, high = shares.interval(0.75, 12)
    centre, half = 0.75 + z**2 / 24, z * (0.75 * 0.25 / 12 + z**2 / 576) ** 0.5
    assert (low, high) == pytest.approx(
        ((centre - half) / (1 + z**2 / 12), (centre + half) / (1 + z**2 / 12))
    )
    assert shares.interval(1.0, 2) == (pytest.approx(0.425, abs=0.001), 1.0)
    assert shares.percent((0.5, 0.943)) == "50 to 94 %"


@pytest.mark.parametrize(("share", "count"), [(1.1, 3), (-0.1, 3), (0.5, 0)])
def test_what_is_no_share_is_refused(share, count):
    with pytest.raises(ValueError, match="is none"):
        shares.interval(share, count)
