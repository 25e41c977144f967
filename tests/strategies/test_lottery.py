"""Settings against strategies."""

import numpy as np
import pytest

from jaxnas.strategies.lottery import lottery, markdown


def test_ranges_within_and_between_strategies():
    found = lottery({
        "first": np.array([[1.0, 3.0], [5.0, 7.0]]), "second": np.array([[6.0, 6.0], [1.0, 1.0]]),
    })  # fmt: skip
    assert found.best == {"first": 6, "second": 6}
    assert found.within == {"first": 4, "second": 5}
    assert found.noise == {"first": 1, "second": 0}
    assert found.between == 0 and found.settings_matter_more
    assert markdown(found).endswith("Settings matter more than the choice of the strategy.")
    with pytest.raises(ValueError, match="second is too small"):
        lottery({"first": np.ones((2, 2)), "second": np.ones((1, 2))})
