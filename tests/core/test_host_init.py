import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core import host_init

KEY = jax.random.key(7)


def draws(key, image):
    """Keys folded in, split, in a loop and under vmap; draws of several shapes; constants."""
    k_uniform, k_rows, k_cells = jax.random.split(jax.random.fold_in(key, 2**31 + 5), 3)
    uniform = lambda k: jax.random.uniform(k, (3, 5), jnp.float32, -0.25, 0.25)
    cells = jax.random.split(k_cells, 4)
    _, looped = jax.lax.scan(lambda x, k: (jnp.sin(x), uniform(k)), image, cells)
    return {
        "uniform": jax.random.uniform(k_uniform, (15,)).reshape(3, 5),
        "rows": jax.vmap(uniform)(jax.random.split(k_rows, 6)[:4]),
        "looped": looped,
        "again": jax.checkpoint(uniform)(k_uniform),
        "key": k_rows,
        "words": jax.random.key_data(jax.random.split(k_rows)[1]),
        "zeros": jnp.zeros((2, *image.shape)),
        "count": jnp.zeros((), jnp.int32),
    }


def words(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_draws_are_those_of_jax_to_the_bit():
    image = jnp.ones((1, 2, 2, 1))
    ours, theirs = host_init.evaluate(draws, KEY, image), draws(KEY, image)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(words(a), words(b))


def test_normal_draws_are_those_of_jax_but_for_the_last_digit():
    init = lambda key: 1e-3 * jax.random.normal(key, (5, 7))
    np.testing.assert_allclose(host_init.evaluate(init, KEY), init(KEY), rtol=1e-6)


def test_what_nothing_depends_on_is_not_computed():
    def init(key, image):
        jnp.linalg.inv(image)
        return jax.random.uniform(key, (3,))

    assert host_init.evaluate(init, KEY, jnp.zeros((2, 2))) is not None


@pytest.mark.parametrize(
    "init, key",
    [
        (lambda key: jnp.sin(jax.random.uniform(key, (3,))), KEY),
        (lambda key: jax.random.uniform(key, (3,)), jax.random.key(0, impl="rbg")),
        (lambda key: jax.random.randint(key, (3,), 0, 5, jnp.uint8), KEY),
    ],
    ids=["another operation", "another generator", "another width"],
)
def test_other_functions_are_left_to_xla(init, key):
    assert host_init.evaluate(init, key) is None
