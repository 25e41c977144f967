"""Training-free scores on networks whose scores are known by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnas.core.types import Batch, Network
from jaxnas.evaluators.zero_cost import gradsign, naswot, score_networks, weight_gradients
from jaxnas.evaluators.zero_cost.jacobian_covariance import jacobian_covariance
from jaxnas.evaluators.zero_cost.synflow import synflow
from jaxnas.spaces import registry


def of_function(logits, weights):
    """A network without statistics, of `logits(weights, inputs)`."""
    return Network(
        lambda key, inputs: (weights, {}),
        lambda w, stats, x, key, drop_path: ((logits(w, x), None), stats),
        lambda w, stats, x: logits(w, x),
    )


LINEAR = of_function(lambda w, x: x @ w["kernel"], {"kernel": jnp.zeros((3, 2))})
ZERO = {"kernel": jnp.zeros((3, 2))}
ONE, OPPOSITE = np.array([1.0, -2.0, 3.0]), np.array([-1.0, 2.0, -3.0])


def layers(w, x):
    return jax.nn.relu(x @ w["a"] + w["bias"]) @ w["b"]


def random_layers():
    random = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)
    return {"a": draw(4, 12), "bias": draw(12), "b": draw(12, 3)}


def random_batch(count=6):
    random = np.random.default_rng(1)
    inputs = random.normal(size=(count, 4)).astype(np.float32)
    return Batch(inputs, random.integers(0, 3, count).astype(np.int32))


@pytest.mark.parametrize(
    ("images", "labels", "each"),
    [([ONE, ONE], [0, 0], 2), ([ONE, OPPOSITE], [0, 0], 0), ([ONE, OPPOSITE], [0, 1], 2)],
)
def test_gradsign_counts_equal_gradients_twice_and_opposite_ones_not(images, labels, each):
    # d loss / d kernel = outer(image, softmax - one hot), at zero weights outer(image, +-1/2).
    batch = Batch(np.stack(images), np.array(labels))
    assert gradsign.gradsign(LINEAR, ZERO, {}, batch) == each * 6


def test_gradsign_is_that_of_all_gradients_at_once():
    weights, batch = random_layers(), random_batch()
    net = of_function(layers, weights)

    def of_image(image, label):
        one = Batch(image[None], label[None])
        return jax.grad(lambda w: weight_gradients.loss(net, {}, one, w))(weights)

    at_once = jax.vmap(of_image)(*batch)
    expected = sum(float(jnp.abs(jnp.sign(at_once[k]).sum(0)).sum()) for k in "ab")
    assert gradsign.gradsign(net, weights, {}, batch) == expected


def test_synflow_of_a_linear_network_is_its_flow_once_a_layer():
    weights = {"a": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([[-1.0], [2.0]])}
    net = of_function(lambda w, x: x.reshape(1, -1) @ w["a"] @ w["b"], weights)
    flow = (1 + 0.5) * 1 + (2 + 3) * 2
    found = synflow(net, weights, {}, jnp.zeros((1, 1, 1, 2)))
    np.testing.assert_allclose(found, np.log1p(2 * flow), rtol=1e-6)


def test_gradient_norm_and_snip_are_sums_over_kernels():
    weights = {"a": jnp.array([[2.0, 1.0]]), "b": jnp.array([[-3.0]]), "bias": jnp.array([9.0])}
    gradient = {"a": jnp.array([[3.0, -4.0]]), "b": jnp.array([[2.0]]), "bias": jnp.array([9.0])}
    assert weight_gradients.gradient_norm(gradient) == 5 + 2
    assert weight_gradients.snip(weights, gradient) == 6 + 4 + 6


def test_jacobian_covariance_is_best_for_unrelated_images():
    unrelated = jnp.array([[1.0, -1, 0, 0], [0, 0, 1, -1]])
    np.testing.assert_allclose(jacobian_covariance(unrelated), -2, rtol=1e-4)
    equal = jacobian_covariance(jnp.array([[1.0, -1], [1.0, -1]]))
    # Eigenvalues 2 and 0, which float32 finds to 1e-7 or so.
    assert equal < -0.9 / 1e-5


def test_naswot_counts_rectifiers_that_agree():
    codes = [jnp.array([[True, False], [True, True], [False, True]])]
    kernel = np.array([[2, 1, 0], [1, 2, 1], [0, 1, 2]])
    np.testing.assert_allclose(naswot.naswot(codes), np.log(np.linalg.det(kernel)), rtol=1e-5)


def test_rectifiers_are_found_within_functions_and_refused_within_loops():
    x = jnp.array([[1.0, -1.0], [-2.0, 3.0]])
    f = jax.jit(lambda x: jax.nn.relu6(jax.nn.relu(x) - 1) + jnp.maximum(x.mean(0), 0))
    out, codes = naswot.with_codes(f, x)
    np.testing.assert_allclose(out, f(x))
    np.testing.assert_array_equal(codes, [x > 0, jax.nn.relu(x) > 1])
    loop = lambda x: jax.lax.scan(lambda y, _: (jax.nn.relu(y), None), x, None, 3)[0]
    with pytest.raises(ValueError, match="A rectifier is within a scan"):
        naswot.with_codes(loop, x)
    with pytest.raises(ValueError, match="no rectifier"):
        naswot.with_codes(jnp.sin, x)


def test_a_networks_rectifiers_are_all_found():
    space = registry.get("nasbench201")
    cell = space.genome.decode(np.array([3, 1, 2, 0, 4, 3]))  # three convolutions
    net = space.network(cell, features=2, cells=1, reductions=None, classes=2, auxiliary=False)
    images = jax.ShapeDtypeStruct((2, 8, 8, 3), np.float32)
    trees = jax.eval_shape(net.init, jax.eval_shape(lambda: jax.random.key(0)), images)
    forward = lambda trees, x: net.apply(*trees, x, jax.random.key(0), 0.0)[0][0]
    codes = jax.eval_shape(lambda t, x: naswot.with_codes(forward, t, x)[1], trees, images)
    # Three cells of three, two reductions of two each, and the one before the classifier.
    assert len(codes) == 3 * 3 + 2 * 2 + 1


def test_scores_come_with_parameters_and_macs():
    weights, made = random_layers(), []
    image = np.random.default_rng(0).normal(size=(3, 2, 2, 1)).astype(np.float32)
    logits = lambda w, x: layers(w, x.reshape(len(x), -1))
    network = lambda design: made.append(design) or of_function(logits, weights)
    batch = Batch(image, np.array([0, 1, 2], np.int32))
    scored = score_networks.scores_of(network, batch)
    (found,) = scored.evaluate(["cell"], [7])
    assert made == ["cell"] and set(found) == {*score_networks.SCORES, "parameters", "macs"}
    assert found["parameters"] == 4 * 12 + 12 + 12 * 3
    assert all(np.isfinite(value) for value in found.values())
    flow = jax.tree.map(jnp.abs, weights)
    total = jnp.sum(jax.nn.relu(jnp.ones(4) @ flow["a"] + flow["bias"]) @ flow["b"])
    in_first = jnp.sum(jnp.ones(4) @ flow["a"] @ flow["b"])  # the bias is no kernel
    np.testing.assert_allclose(found["synflow"], np.log1p(total + in_first), rtol=1e-6)
    assert scored.maximise["synflow"] and not scored.maximise["macs"]


def test_unknown_scores_are_refused():
    with pytest.raises(ValueError, match="Did you mean synflow.*No training-free score.*'synfow'"):
        score_networks.scores_of(None, random_batch(), ("synfow",))
