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


@pytest.mark.parametrize("keep", [None, 1])
def test_fair_paths_take_every_candidate_once_a_round(keep):
    space = {"cell": spaces.uniform(spaces.dag(2, 2), ("none", "skip_connect", "tanh", "sine"))}
    relaxation = samplers.fair_single_path(space, keep)
    arch = relaxation.init(jax.random.key(3), space)
    draw = jax.jit(
        lambda step: relaxation.gates(arch, None, key=jax.random.fold_in(KEY, step), step=step)
    )
    ways = 4 if keep is None else 3
    draws = np.stack([draw(step)["cell"] for step in range(30 * ways)])
    rounds = draws.reshape(30, ways, 5, 4).sum(1)
    if keep is None:
        assert (rounds == 1).all()
        # Edges take their turns by themselves, and rounds are ordered anew.
        orders = {draws.argmax(-1)[:, edge].tobytes() for edge in range(5)}
        assert len(orders) == 5
        starts = np.bincount(draws.argmax(-1)[::ways].ravel(), minlength=4)
        assert starts.min() > 20
    else:
        assert rounds.max() == 1 and not rounds[..., 0].any()
        assert (draws.sum((1, 2)) == 2).all()  # one edge a node
    expected = relaxation.expected(arch, None, step=0)["cell"]
    np.testing.assert_allclose(
        expected, samplers.uniform_single_path(space, keep).expected({}, None)["cell"]
    )


def test_fair_paths_of_another_seed_are_ordered_otherwise():
    space = {"cell": spaces.uniform(spaces.dag(2, 2), ("none", "skip_connect", "tanh", "sine"))}
    relaxation = samplers.fair_single_path(space)
    of_seed = lambda seed: np.stack(
        [
            relaxation.gates(relaxation.init(jax.random.key(seed), space), None, key=KEY, step=s)[
                "cell"
            ]
            for s in range(8)
        ]
    )
    assert not np.array_equal(of_seed(0), of_seed(1))
