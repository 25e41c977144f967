"""Random orders of which any part is computed alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxnas.data import shuffle

order = jax.jit(shuffle.positions, static_argnums=2)


@pytest.mark.parametrize("count", [1, 11, shuffle.SORTED, shuffle.SORTED + 1, 25_000, 50_000])
def test_nothing_is_twice(count):
    whole = np.asarray(order(jax.random.key(3), jnp.arange(count), count))
    assert (np.sort(whole) == np.arange(count)).all()
    part = order(jax.random.key(3), jnp.arange(count // 2, count), count)
    np.testing.assert_array_equal(part, whole[count // 2 :])


@pytest.mark.parametrize("count", [shuffle.SORTED, 2500])
def test_small_sets_are_permuted_as_jax_does_and_large_ones_anew_for_each_key(count):
    first, second = (np.asarray(order(jax.random.key(k), jnp.arange(count), count)) for k in (0, 1))
    # Two random orders agree in one place on average.
    assert (first == second).sum() < 8
    jax_order = np.asarray(jax.random.permutation(jax.random.key(0), count))
    assert (first == jax_order).all() == (count <= shuffle.SORTED)


def test_a_large_set_is_in_every_order_alike():
    count, keys = 2500, 400
    places = jnp.arange(40)
    drawn = np.asarray(
        jax.vmap(lambda key: shuffle.positions(key, places, count))(
            jax.random.split(jax.random.key(7), keys)
        )
    )
    tenths = lambda values: np.bincount(values.ravel() * 10 // count, minlength=10)
    # The value at a place is uniform, and so is the step from one place to the next.
    steps = np.diff(drawn, axis=1) % count
    for values in (drawn, drawn[:, 0], drawn[:, -1], steps, steps[:, 5]):
        assert scipy.stats.chisquare(tenths(values)).pvalue > 1e-3
    # Places are not related: neighbours correlate as two draws do.
    pairs = np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]
    assert abs(pairs) < 4 / np.sqrt(drawn[:, 1:].size)
