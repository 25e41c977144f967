"""Spaces that lose candidates."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import shrink
from jaxnas.core.types import Choice


def test_pruning_keeps_the_most_open_candidates_in_their_order():
    space = {"cell": Choice(((0, 1), (0, 2)), (("a", "b", "c"), ("d", "e", "f")))}
    gates = {"cell": np.array([[0.3, 0.1, 0.6], [0.2, 0.2, 0.2]])}
    smaller, columns = shrink.top_candidates(space, gates, 2)
    assert smaller["cell"] == Choice(((0, 1), (0, 2)), (("a", "c"), ("d", "e")))
    arch = {"candidates": {"cell": jnp.arange(6.0).reshape(2, 3)}, "edges": {"cell": jnp.ones(2)}}
    cut = shrink.take_candidates(arch, columns)
    assert cut["candidates"]["cell"].tolist() == [[0, 2], [3, 4]]
    assert cut["edges"]["cell"].tolist() == [1, 1]


def test_as_many_candidates_as_there_are_cannot_be_kept():
    space = {"cell": Choice(((0, 1),), (("a", "b", "c"),))}
    with pytest.raises(ValueError, match="3 candidates 3 cannot be kept"):
        shrink.top_candidates(space, {"cell": np.ones((1, 3))}, 3)
