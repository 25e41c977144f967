"""Gates against the formulas they come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.gates import relax
from jaxnas.core.types import Choice

SPACE = {
    "normal": Choice(tuple((0, n) for n in range(40)), (("a", "b", "c"),) * 40),
    "reduce": Choice(tuple((0, n) for n in range(40)), (("a", "b", "c"),) * 40),
}


def test_softmax_gates_follow_the_formula_edge_by_edge():
    logits = np.array([[0.0, 1.0, -2.0], [3.0, 3.0, 3.0]])
    gates = relax.softmax().gates({"normal": jnp.array(logits)}, (), key=None, step=0)
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(gates["normal"], expected, rtol=1e-6)


def test_softmax_gates_of_extreme_logits_are_finite():
    logits = {"normal": jnp.array([[1e4, 0.0, -1e4]])}
    gates = relax.softmax().gates(logits, (), key=None, step=0)
    np.testing.assert_array_equal(gates["normal"], [[1.0, 0.0, 0.0]])


@pytest.mark.parametrize("scale", [1e-3, 0.5])
def test_softmax_starts_as_scaled_normal_noise_of_the_shape_of_the_space(scale):
    arch = relax.softmax(scale).init(jax.random.key(0), SPACE)
    assert jax.tree.map(jnp.shape, arch) == {"normal": (40, 3), "reduce": (40, 3)}
    for logits in arch.values():
        assert np.std(logits) == pytest.approx(scale, rel=0.25)
        assert abs(np.mean(logits)) < 0.3 * scale


def test_softmax_draws_each_choice_apart_and_the_same_for_the_same_key():
    draw = lambda seed: relax.softmax().init(jax.random.key(seed), SPACE)
    assert not np.array_equal(draw(0)["normal"], draw(0)["reduce"])
    np.testing.assert_array_equal(draw(0)["normal"], draw(0)["normal"])
    assert not np.array_equal(draw(0)["normal"], draw(1)["normal"])
