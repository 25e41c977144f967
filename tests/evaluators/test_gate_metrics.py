"""The figures of gates after an epoch."""

import numpy as np
import pytest

from jaxnas.evaluators import gate_metrics
from jaxnas.spaces import registry


def test_entropy_and_skips_are_counted():
    space = registry.get("darts-s2")
    gates = {name: np.tile([1.0, 0.0], (14, 1)) for name in space.choices}
    gates["reduce"] = np.full((14, 2), 0.5)
    measured = gate_metrics.of(space.choices, gates, space.discretise(space.choices, gates))
    assert measured["gates/entropy"] == pytest.approx(np.log(2) / 2)
    # Ties go to the candidate listed first, a skip.
    assert measured["gates/skips/normal"] == measured["gates/skips/reduce"] == 8
    assert measured["gates/skips"] == 16
    assert gate_metrics.skip_limits(space) == {"normal": 5, "reduce": 5}


def test_a_space_without_skips_has_no_limit_for_them():
    assert gate_metrics.skip_limits(registry.get("darts-s4")) == {}
