"""Uniformly sampled paths."""

import collections

import jax
import numpy as np
import pytest

from jaxnas.core.gates import samplers
from jaxnas.spaces import choices as spaces

KEY = jax.random.key(0)
SPACE = {
    "normal": spaces.uniform(spaces.dag(2, 2), ("skip_connect", "tanh", "wide")),
    "reduce": spaces.uniform(spaces.dag(2, 1), ("skip_connect", "tanh")),
}


@pytest.mark.parametrize("keep", [None, 1, 2])
def test_single_paths_are_one_hot_and_every_one_is_as_likely(keep):
    space = {"cell": spaces.uniform(spaces.dag(2, 2), ("none", "skip_connect", "tanh"))}
    relaxation = samplers.uniform_single_path(space, keep)
    keys = jax.random.split(KEY, 4000)
    draws = jax.jit(jax.vmap(lambda k: relaxation.gates({}, None, key=k, step=0)))(keys)["cell"]
    assert set(np.unique(draws)) == {0, 1}
    open_edges = draws.sum(-1)
    assert open_edges.max() == 1
    if keep is None:
        assert open_edges.min() == 1
    else:
        assert not draws[..., 0].any()
        assert (open_edges[:, :2].sum(1) == keep).all()
        assert (open_edges[:, 2:].sum(1) == keep).all()
    expected = relaxation.expected({}, None, step=0)["cell"]
    np.testing.assert_allclose(draws.mean(0), expected, atol=0.03)
    # Not only the means: of the pairs of edges into the last node each is as likely.
    pairs = collections.Counter(map(tuple, np.asarray(open_edges[:, 2:])))
    assert len(pairs) == (3 if keep else 1)
    assert max(pairs.values()) - min(pairs.values()) < 200


def test_impossible_paths_are_refused():
    with pytest.raises(ValueError, match="2 edges enter a node, of which 3"):
        samplers.uniform_single_path(SPACE, 3)
    nothing = {"cell": spaces.uniform(((0, 1),), ("none",))}
    with pytest.raises(ValueError, match="nothing to draw"):
        samplers.uniform_single_path(nothing, 1)
